// SPDX-License-Identifier: Apache-2.0

package track

import "github.com/loopwatch/loopwatch/internal/probes"

// Ended is what a tracker keeps though it has ended: the record of its end was lost, or came before it was entered.
type Ended struct {
	unwatched []int // process ids
	procs     []*proc
	threads   []*thread
}

// FindEnded has the kernel side swept, and finds what has ended without the tracker's knowing. To be called every ten seconds
// or so. Forget forgets it once the events that were on their way have been handled.
func (c *Tracker) FindEnded() (e Ended) {
	kept, err := c.kernel.Sweep()
	if err != nil {
		c.check(err)
		return e
	}
	for pid, p := range c.procs {
		if kept.Processes[pid] != probes.Watched || !p.Same() {
			e.procs = append(e.procs, p)
		}
	}
	for _, pid := range c.unwatched.PIDs() {
		if _, known := kept.Processes[pid]; !known {
			e.unwatched = append(e.unwatched, pid)
		}
	}
	for tid, t := range c.threads {
		if !kept.Threads[tid] {
			e.threads = append(e.threads, t)
		}
	}
	return e
}

// Forget forgets what has ended. What has been entered anew meanwhile stays.
func (c *Tracker) Forget(e Ended) {
	for _, t := range e.threads {
		if c.threads[t.tid] == t {
			c.endThread(t.tid)
		}
	}
	for _, p := range e.procs {
		if c.procs[p.PID] == p {
			c.check(c.kernel.ForgetProcess(p.PID)) // first: it refers to a layout that is given back
			c.forgetProcess(p.PID)
		}
	}
	for _, pid := range e.unwatched {
		if listed, _ := c.unwatched.Listed(pid); listed {
			c.forgetProcess(pid)
		}
	}
}

// Kept counts what the tracker keeps, by what it is.
func (c *Tracker) Kept() map[string]int64 {
	return map[string]int64{
		"processes": int64(len(c.procs)), "threads": int64(len(c.threads)), "loops": int64(c.Loops()), "ended_loops": int64(len(c.ended)),
		"unwatched": int64(len(c.unwatched.PIDs())), "probed_files": int64(c.usdt.Len()),
	}
}
