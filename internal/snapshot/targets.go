// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/target"
)

// describe finds out what the threads that sleep wait for: which rest, and what the syscalls of the others work on.
func (t *taking) describe() error {
	ask := map[int][]int{}
	for _, p := range t.procs {
		for _, th := range p.threads {
			p.judge(th)
			if th.verdict.idle || th.doing.Running || th.torn {
				continue
			}
			th.object = p.call(th).Object()
			th.target = th.object.Target
			if len(th.object.FDs) > 0 {
				ask[th.doing.TID] = th.object.FDs
			}
		}
	}
	if err := t.name(ask); err != nil {
		return err
	}
	t.sampleRunning()
	return t.watch()
}

// name finds out what the descriptors are that threads wait for, by thread id.
func (t *taking) name(ask map[int][]int) error {
	if len(ask) == 0 {
		return nil
	}
	sockets, err := t.census.Sockets(ask)
	if err != nil {
		return err
	}
	now, err := t.census.Threads()
	if err != nil {
		return err
	}
	for _, p := range t.procs {
		for _, th := range p.threads {
			if len(th.object.FDs) == 0 {
				continue
			}
			th.target = p.call(th).Choose(th.object, sockets[th.doing.TID])
			if !th.doing.Still(now[th.doing.TID]) {
				th.target = probes.Target{FD: -1}
				t.lose(reasonTargets, 1)
			}
		}
	}
	return nil
}

// call is the syscall that a thread sleeps in.
func (p *proc) call(t *thread) target.Call {
	return target.Call{Process: p.process, Memory: p.memory, Number: t.doing.Syscall, Args: t.doing.Args}
}
