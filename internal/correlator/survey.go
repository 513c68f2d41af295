// SPDX-License-Identifier: Apache-2.0

package correlator

import (
	"cmp"
	"errors"
	"os"
	"slices"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/syscalls"
)

// Python is a Python process as Survey sees it.
type Python struct {
	PID             int
	Command         string
	Version         string           // "" where it cannot be told
	Loops           []eventloop.Kind // of each loop seen on a stack
	USDT            []string         // which of the interpreter's own probes can be used
	Container, Unit string
	Reason, Do      string // why it cannot be watched and what to do; "" where it can
}

// Survey lists the Python processes of the host in ascending order of pid, as an observation would
// find them; with pids those processes, Python or not. It looks from user space alone and once, so it
// needs no kernel programs, and does not see every loop. opaque are the processes that could not be
// read and may be Pythons or not.
func Survey(pids []int) (out, opaque []Python, err error) {
	named := len(pids) > 0
	if !named {
		if pids, err = process.Scan(); err != nil {
			return nil, nil, err
		}
		pids = slices.DeleteFunc(pids, func(pid int) bool { return pid == os.Getpid() })
	}
	for _, f := range lookAll(pids, nil) {
		py := Python{PID: f.pid, Command: f.command}
		if f.err == nil {
			f.err = f.proc.survey(&py)
		}
		switch {
		case f.err == nil:
		case !named && (errors.Is(f.err, cpython.ErrNotPython) || !process.Exists(f.pid)):
			continue
		case !named && f.unreadable() && !cpython.Named(f.pid):
			py.Reason, py.Do = f.whyNot()
			opaque = append(opaque, py)
			continue
		default:
			py.Reason, py.Do = f.whyNot()
		}
		out = append(out, py)
	}
	slices.SortFunc(out, func(a, b Python) int { return cmp.Compare(a.PID, b.PID) })
	return out, opaque, nil
}

// survey fills in what is known of a process that can be watched.
func (p *proc) survey(py *Python) error {
	py.Command, py.Version = p.command, p.runtime.Version.String()
	py.Container, py.Unit = p.container, p.unit
	for _, kind := range p.ownProbes() {
		py.USDT = append(py.USDT, string(kind))
	}
	threads, err := p.runtime.Threads(p.memory)
	if err != nil && len(threads) == 0 {
		return err
	}
	for i, t := range threads {
		raw, err := p.runtime.Stack(p.memory, t.Addr, maxWalk)
		if err != nil || len(raw) == 0 {
			continue
		}
		frames := p.resolver.Frames(raw)
		v := p.classify(frames)
		if v.Running && !v.AtRest {
			if parent := look(p.process.PPID).proc; parent != nil {
				p.inherited = FromParent(p.process, p.runtime, raw, frames, p, &Parent{Process: parent.process, Runtime: parent.runtime})
				v = p.classifyOwn(raw, frames)
			}
		}
		// A uvloop may have no frames of its own. The main thread's state is the oldest, and its
		// thread id is known in every release.
		if v.Running || v.Kind != "" && v.AtRest && i == len(threads)-1 && p.waiting() {
			py.Loops = append(py.Loops, v.Kind)
		}
	}
	slices.Sort(py.Loops)
	return nil
}

// waiting tells whether the main thread is in a wait for descriptors now.
func (p *proc) waiting() bool {
	s, err := p.process.Syscall(p.process.PID)
	return err == nil && syscalls.Lookup(s.Number).Object == syscalls.Epoll
}

// ownProbes lists the kinds of probes that the interpreter has and that can be used.
func (p *proc) ownProbes() (out []probes.USDTKind) {
	f, found, err := p.readProbes()
	if err != nil {
		return nil
	}
	f.Close()
	for _, kind := range probes.USDTKinds {
		if probes.HasUSDT(kind, found.Sites) {
			out = append(out, kind)
		}
	}
	return out
}
