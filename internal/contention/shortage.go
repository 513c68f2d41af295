// SPDX-License-Identifier: Apache-2.0

package contention

import (
	"strings"

	"github.com/loopwatch/loopwatch/internal/model"
)

// Enough is how many tasks have to wait for the same, or calls for a thread, for that to be called a shortage.
const Enough = 3

// Contended reports whether tasks wait for one another, as opposed to waiting for work, peers or time: they want a lock or a
// semaphore, or room in a queue, or an item of a queue on behalf of a caller, as a pool of connections hands them out.
func Contended(w *model.Wait) bool {
	switch w.On {
	case model.WaitLock, model.WaitSemaphore:
		return true
	case model.WaitQueue:
		return !w.Consumers && !strings.HasSuffix(w.Call, ".join")
	}
	return false
}

// Full reports whether all threads of a pool are busy while calls are queued.
func Full(e *model.Executor) bool {
	return e.Queued != nil && *e.Queued > 0 && e.Busy >= e.Threads && (e.Max == nil || e.Threads >= *e.Max)
}

// Shortage is the worst that many wait for in a dump: either Wait or Executor is set.
type Shortage struct {
	Process  *model.DumpProcess
	Wait     *model.Wait
	Executor *model.Executor
	Waiting  int // tasks, or calls
}

// Worst returns what most tasks or calls wait for in a dump, nil where there are not enough of them anywhere.
func Worst(d *model.Dump) (worst *Shortage) {
	for i := range d.Processes {
		if s := worstOf(&d.Processes[i]); s != nil && (worst == nil || s.Waiting > worst.Waiting) {
			worst = s
		}
	}
	return worst
}

// Short reports whether there is a shortage in a process.
func Short(p *model.DumpProcess) bool { return worstOf(p) != nil }

func worstOf(p *model.DumpProcess) (worst *Shortage) {
	take := func(s Shortage) {
		if s.Waiting >= Enough && (worst == nil || s.Waiting > worst.Waiting) {
			worst = &s
		}
	}
	for k := range p.Executors {
		if e := &p.Executors[k]; Full(e) {
			take(Shortage{Process: p, Executor: e, Waiting: *e.Queued})
		}
	}
	for k := range p.Loops {
		for n := range p.Loops[k].Waits {
			if w := &p.Loops[k].Waits[n]; Contended(w) {
				take(Shortage{Process: p, Wait: w, Waiting: w.Tasks})
			}
		}
	}
	return worst
}
