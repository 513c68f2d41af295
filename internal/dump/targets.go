// SPDX-License-Identifier: Apache-2.0

package dump

import (
	"context"
	"github.com/loopwatch/loopwatch/internal/syscalls"
)

// describe finds out what the threads that sleep wait for: which rest, and what the syscalls of the others work on.
func (l *look) describe(ctx context.Context) error {
	ask := map[int][]int{}
	for _, p := range l.procs {
		for _, th := range p.threads {
			l.judge(p, th)
			if th.status.idle || th.kernel.Running || th.torn {
				continue
			}
			th.object = p.Call(th.kernel.Syscall, th.kernel.Args).Object()
			th.target = th.object.Target
			if len(th.object.FDs) > 0 {
				ask[th.kernel.TID] = th.object.FDs
			}
		}
	}
	if err := l.name(ask); err != nil {
		return err
	}
	l.sampleRunning(ctx)
	return l.watch(ctx)
}

// name finds out what the descriptors are that threads wait for, by thread id.
func (l *look) name(ask map[int][]int) error {
	if len(ask) == 0 {
		return nil
	}
	sockets, err := l.listing.Sockets(ask)
	if err != nil {
		return err
	}
	now, err := l.listing.Threads()
	if err != nil {
		return err
	}
	for _, p := range l.procs {
		for _, th := range p.threads {
			if len(th.object.FDs) == 0 {
				continue
			}
			th.target = p.Call(th.kernel.Syscall, th.kernel.Args).Choose(th.object, sockets[th.kernel.TID])
			if !th.kernel.Still(now[th.kernel.TID]) {
				th.target = syscalls.Target{FD: -1}
				l.lost.add(reasonTargets, 1)
			}
		}
	}
	return nil
}
