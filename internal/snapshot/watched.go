// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"time"

	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/syscalls"
)

// maxWatch bounds how long loops are watched: where the threshold is longer, it is not found out whether they are
// blocked, but that they have been active for so long. maxWatched bounds how many.
const (
	maxWatch   = 300 * time.Millisecond
	maxWatched = 512
)

// watch looks for a while at the loops of which nothing tells when their iteration began: one that returns from no
// wait meanwhile, and is in none at the end, was active all the time.
func (t *taking) watch() error {
	type watched struct {
		thread  *thread
		returns *probes.Returns
	}
	var all []watched
	defer func() {
		for _, w := range all {
			_ = w.returns.Close()
		}
	}()
	var began int64
	waits := syscalls.Waiting()
	for _, p := range t.procs {
		for _, th := range p.threads {
			if !t.vague(th) {
				continue
			}
			if len(all) >= maxWatched {
				t.lose(reasonUnwatched, 1)
				continue
			}
			returns, err := probes.CountReturns(th.doing.TID, waits)
			if err != nil {
				t.lose(reasonUnwatched, 1)
				continue
			}
			all = append(all, watched{th, returns})
			began = monotonic() // all are counted from here on
		}
	}
	if len(all) == 0 {
		return nil
	}
	time.Sleep(min(t.options.Threshold+time.Duration(kernelTick), maxWatch))
	now, err := t.census.Threads()
	if err != nil {
		return err
	}
	for _, w := range all {
		d, there := now[w.thread.doing.TID]
		resting := !d.Running && syscalls.Lookup(d.Syscall).Waiting()
		if n, err := w.returns.Count(); err == nil && n == 0 && there && !resting {
			w.thread.verdict.since, w.thread.verdict.atLeast = began, true
			w.thread.doing.At = d.At
		}
	}
	return nil
}

// vague tells whether a loop may be blocked although it is not known to be.
func (t *taking) vague(th *thread) bool {
	v := th.verdict
	return v.kind != "" && !v.idle && (v.since == 0 || v.atLeast && th.doing.At-v.since < int64(t.options.Threshold))
}
