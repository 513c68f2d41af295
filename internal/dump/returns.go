// SPDX-License-Identifier: Apache-2.0

package dump

import (
	"context"
	"time"

	"github.com/loopwatch/loopwatch/internal/clock"
	"github.com/loopwatch/loopwatch/internal/probes/listing"
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
func (l *look) watch(ctx context.Context) error {
	type watched struct {
		thread  *thread
		returns *listing.Returns
	}
	var all []watched
	defer func() {
		for _, w := range all {
			_ = w.returns.Close()
		}
	}()
	var began int64
	waits := syscalls.Waiting()
	for _, p := range l.procs {
		for _, th := range p.threads {
			if !l.mayBeBlocked(th) {
				continue
			}
			if len(all) >= maxWatched {
				l.lost.add(reasonUnwatched, 1)
				continue
			}
			returns, err := l.listing.CountReturns(th.kernel.TID, waits)
			if err != nil {
				l.lost.add(reasonUnwatched, 1)
				continue
			}
			all = append(all, watched{th, returns})
			began = clock.Monotonic() // all are counted from here on
		}
	}
	if len(all) == 0 {
		return nil
	}
	if !clock.Sleep(ctx, min(l.threshold+time.Duration(kernelTick), maxWatch)) {
		return nil
	}
	now, err := l.listing.Threads()
	if err != nil {
		return err
	}
	for _, w := range all {
		d, there := now[w.thread.kernel.TID]
		resting := !d.Running && syscalls.Lookup(d.Syscall).Waiting()
		if n, err := w.returns.Count(); err == nil && n == 0 && there && !resting {
			w.thread.status.since, w.thread.status.atLeast = began, true
			w.thread.kernel.At = d.At
		}
	}
	return nil
}

// mayBeBlocked reports whether a loop may be blocked although it is not known to be.
func (l *look) mayBeBlocked(th *thread) bool {
	v := th.status
	return v.kind != "" && !v.idle && (v.since == 0 || v.atLeast && th.kernel.At-v.since < int64(l.threshold))
}
