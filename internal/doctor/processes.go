// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/loopwatch/loopwatch/internal/clock"
	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/cpython/locate"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/python"
	"github.com/loopwatch/loopwatch/internal/syscalls"
)

// survey lists the Python processes of the host in ascending order of pid, as an observation would find them; with pids
// those processes, Python or not. It looks from user space alone, so it needs no kernel programs, and does not see every
// loop. opaque are the processes that could not be read and may be Pythons or not.
func survey(ctx context.Context, pids []int) (out, opaque []Process, err error) {
	named := len(pids) > 0
	if !named {
		if pids, err = process.Scan(); err != nil {
			return nil, nil, err
		}
		pids = slices.DeleteFunc(pids, func(pid int) bool { return pid == os.Getpid() })
	}
	out = []Process{}
	all := python.NewOpener(nil).OpenAll(ctx, pids, nil)
	if err := ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("interrupted while looking at processes: %w", err)
	}
	for i, opened := range all {
		p, refusal := examineProcess(ctx, pids[i], opened)
		if refusal == nil {
			out = append(out, p)
			continue
		}
		kind := refusal.Kind()
		if !named && (kind == python.NotPython || !process.Exists(p.PID)) {
			continue
		}
		p.Reason, p.Do = refusal.Explain(python.Watch)
		if !named && kind == python.Unreadable && !locate.Named(p.PID) {
			opaque = append(opaque, p)
		} else {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b Process) int { return cmp.Compare(a.PID, b.PID) })
	return out, opaque, nil
}

// examineProcess says what is known of a process, and why it cannot be watched if so.
func examineProcess(ctx context.Context, pid int, opened python.Opened) (Process, *python.Refusal) {
	out := Process{PID: pid, Loops: []string{}, USDT: []string{}}
	p := opened.Process
	if p == nil {
		out.Command = opened.Refusal.Command
		return out, opened.Refusal
	}
	out.Command, out.Python = p.Command, p.Runtime.Version.String()
	out.Container, out.Unit = p.Container, p.Unit
	out.USDT = append(out.USDT, ownProbes(p)...)
	loops, err := loopsOf(ctx, p)
	if err != nil {
		return out, &python.Refusal{PID: pid, Command: p.Command, Err: err}
	}
	if p.Silent() {
		return out, &python.Refusal{PID: pid, Command: p.Command, Err: process.ErrNoAnswer}
	}
	out.Loops = append(out.Loops, loops...)
	out.Watchable = true
	return out, nil
}

// loopsOf lists the kinds of the loops that are on the stacks of a process.
func loopsOf(ctx context.Context, p *python.Process) (kinds []string, err error) {
	threads, err := p.ThreadStates()
	if err != nil && len(threads) == 0 {
		return nil, err
	}
	for i, t := range threads {
		main := i == len(threads)-1 // its state is the oldest, and its thread id is known in every release
		if kind := loopOf(ctx, p, t, main); kind != "" {
			kinds = append(kinds, string(kind))
		}
	}
	slices.Sort(kinds)
	return kinds, nil
}

// A stack that changes while it is read may show no loop though there is one: it is read again, so often and after such
// pauses.
const (
	mostReads = 10
	pause     = 3 * time.Millisecond
)

// loopOf returns the kind of the loop on a thread's stack, "" where two readings in a row are the same and show none.
func loopOf(ctx context.Context, p *python.Process, t cpython.Thread, main bool) eventloop.Kind {
	var last []cpython.RawFrame
	for i := range mostReads {
		raw, _, err := p.Stack(t.Addr)
		if err == nil && len(raw) > 0 {
			v := p.FindLoop(python.Stack{Raw: raw, Frames: p.Names.Frames(raw), Main: main}, nil)
			// A uvloop may have no frames of its own.
			if v.Running || v.Kind != "" && v.AtRest && main && waiting(p) || v.MayRest && runsUVLoop(p, t) {
				return v.Kind
			}
		}
		if i > 0 && err == nil && slices.Equal(raw, last) {
			break
		}
		last = raw
		if i > 0 && !clock.Sleep(ctx, pause) {
			break
		}
	}
	return ""
}

// runsUVLoop reports whether asyncio has a thread run a uvloop.
func runsUVLoop(p *python.Process, t cpython.Thread) bool {
	tasks, err := p.FindTasks(t.Interp)
	return err == nil && tasks.RunsUVLoop(p.Memory, t)
}

// waiting reports whether the main thread is in a wait for descriptors now.
func waiting(p *python.Process) bool {
	s, err := p.Syscall(p.PID)
	return err == nil && syscalls.Lookup(s.Number).Object == syscalls.Epoll
}

// ownProbes lists the kinds of probes that the interpreter has and that can be used.
func ownProbes(p *python.Process) (kinds []string) {
	f, found, err := p.OpenProbes()
	if err != nil {
		return nil
	}
	f.Close()
	for _, kind := range probes.USDTKinds {
		if probes.HasUSDT(kind, found.Sites) {
			kinds = append(kinds, string(kind))
		}
	}
	return kinds
}
