// SPDX-License-Identifier: Apache-2.0

package correlator

import (
	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/probes"
)

// glimpse is a stack walked from user space in the middle of an active period, for want of one
// of the kernel's: the thread fell asleep before the kernel could walk it, because loopwatch
// or the program had only just started.
type glimpse struct {
	sample *probes.Sample
	raw    []cpython.RawFrame
}

// glimpseAt walks a thread that is outside its wait. The stack is only as good as the thread is
// still: it is checked that the period stays the same, and that it sleeps.
func (c *Correlator) glimpseAt(t *thread) *glimpse {
	before, ok, err := c.kernel.Thread(t.tid)
	if err != nil || !ok || before.InWait {
		return nil
	}
	call, err := t.proc.process.Syscall(t.tid)
	if err != nil || call.Running {
		return nil
	}
	raw, err := t.proc.runtime.Stack(t.proc.memory, t.state.Addr, maxWalk)
	if err != nil || len(raw) == 0 {
		return nil
	}
	task := t.runningTask()
	after, ok, err := c.kernel.Thread(t.tid)
	if err != nil || !ok || after.InWait || after.Period != before.Period || after.OffAt != before.OffAt {
		return nil
	}
	s := &probes.Sample{
		TID: t.tid, Period: before.Period, Kind: probes.Off, At: before.OffAt, Syscall: call.Number, Args: [3]uint64(call.Args[:3]),
		Task: task,
	}
	s.Target = t.glimpsedTarget(call)
	for _, f := range raw {
		s.Stack.Frames = append(s.Stack.Frames, probes.Frame(f))
	}
	return &glimpse{s, raw}
}

// lookInside judges a thread by what it does in the middle of a period, where a loop's own
// frames are on the stack.
func (c *Correlator) lookInside(t *thread) {
	c.findTasks(t)
	g := c.glimpseAt(t)
	if g == nil {
		return
	}
	t.glimpse = g
	if t.proc.classify(t.proc.resolver.Frames(g.raw)).Running {
		c.judge(t, -1, g.raw)
	}
}

// withGlimpse adds the glimpse of a period to its samples where none of them shows what the
// thread slept in for offNS nanoseconds.
func (t *thread) withGlimpse(period uint64, offNS int64, samples []*probes.Sample) []*probes.Sample {
	if t.glimpse == nil || t.glimpse.sample.Period != period {
		return samples
	}
	for _, s := range samples {
		if s.Kind == probes.Off {
			return samples
		}
	}
	s := *t.glimpse.sample
	s.NS = offNS
	return append(samples, &s)
}
