// SPDX-License-Identifier: Apache-2.0

package waits

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/loopwatch/loopwatch/internal/probes/listing"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/python"
)

// passed is a process that is not watched.
type passed struct {
	exe   string // what it ran then
	again bool   // it may be watched later
}

// begin opens the processes there are.
func (w *watch) begin(ctx context.Context) (refused []*python.PIDError, err error) {
	pids, err := w.candidates()
	if err != nil {
		return nil, err
	}
	for _, r := range w.open(ctx, pids) {
		if len(w.PIDs) > 0 && slices.Contains(w.PIDs, r.PID) && !w.Children && r.Kind() != python.Starting && r.Kind() != python.Silent {
			refused = append(refused, r.Answer(python.Watch))
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, interrupted(err)
	}
	if len(w.procs) == 0 && len(refused) > 0 {
		return nil, refused[0]
	}
	return refused, nil
}

// candidates lists the processes to look at.
func (w *watch) candidates() ([]int, error) {
	if len(w.PIDs) == 0 {
		pids, err := process.Scan()
		if err != nil {
			return nil, fmt.Errorf("list processes: %w", err)
		}
		return slices.DeleteFunc(pids, func(pid int) bool { return pid == os.Getpid() }), nil
	}
	pids := slices.Clone(w.PIDs)
	if w.Children {
		below, err := process.Descendants(pids)
		if err != nil {
			return nil, fmt.Errorf("list child processes: %w", err)
		}
		pids = append(pids, below...)
	}
	return pids, nil
}

// scan looks for processes that have come, and for those that have ended.
func (w *watch) scan(ctx context.Context) {
	for pid, p := range w.procs {
		if !p.Same() {
			w.drop(pid)
		}
	}
	pids, err := w.candidates()
	if err != nil {
		return // the next time
	}
	there := make(map[int]bool, len(pids))
	var fresh []int
	for _, pid := range pids {
		there[pid] = true
		if w.procs[pid] != nil {
			continue
		}
		if known, ok := w.passed[pid]; !ok || known.again || known.exe != exeOf(pid) {
			fresh = append(fresh, pid)
		}
	}
	maps.DeleteFunc(w.passed, func(pid int, _ passed) bool { return !there[pid] })
	w.open(ctx, fresh)
}

// open opens processes, and notes those that are not watched.
func (w *watch) open(ctx context.Context, pids []int) (refusals []*python.Refusal) {
	for _, o := range w.opener.OpenAll(ctx, pids, python.Opened.LearnStart) {
		switch {
		case o.Process != nil && len(w.procs) >= listing.MaxProcesses:
			w.passed[o.Process.PID] = passed{exe: exeOf(o.Process.PID)}
			w.lost.add(reasonOver, 1)
		case o.Process != nil:
			delete(w.passed, o.Process.PID)
			delete(w.unsupported, o.Process.PID)
			w.procs[o.Process.PID] = newProc(o.Process)
			w.met++
		case o.Refusal != nil:
			w.passOver(o.Refusal)
			refusals = append(refusals, o.Refusal)
		}
	}
	return refusals
}

// passOver notes a process that is not watched.
func (w *watch) passOver(r *python.Refusal) {
	u, kind := r.Row(python.Watch)
	w.passed[r.PID] = passed{exeOf(r.PID), kind == python.Starting || kind == python.Silent && r.AnswersAgain()}
	if u.Reason != "" {
		w.unsupported[r.PID] = u
	}
}

// exeOf returns what a process runs, "" where that cannot be read.
func exeOf(pid int) string {
	exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return exe
}

// drop forgets a process that has ended.
func (w *watch) drop(pid int) {
	w.ended = append(w.ended, w.procs[pid].endLoops()...)
	delete(w.procs, pid)
}

// lookForLoops finds out which threads of the processes run loops.
func (w *watch) lookForLoops() {
	var listed map[int]listing.Thread
	known := func(pid int) python.Known {
		p := w.procs[pid]
		if p == nil {
			return python.Known{}
		}
		k := python.Known{Process: p.Process}
		for _, l := range p.loops {
			k.Loops = append(k.Loops, python.LoopThread{State: l.state})
		}
		return k
	}
	for _, p := range w.procs {
		fresh := p.lookForLoops(w.lost)
		if len(fresh) == 0 {
			continue
		}
		if !p.wanted {
			p.wanted = w.listing.Want(p.PID) == nil
			listed = nil
		}
		if listed == nil && p.wanted {
			listed, _ = w.listing.Threads()
		}
		for _, l := range fresh {
			p.enter(l, tidOf(p.PID, l.pointer, listed), known, w.lost)
		}
	}
}

// tidOf finds the thread of a process by what pthread_self returns in it, 0 where it is not listed.
func tidOf(pid int, pointer uint64, listed map[int]listing.Thread) int {
	for tid, t := range listed {
		if t.PID == pid && t.Pointer == pointer {
			return tid
		}
	}
	return 0
}
