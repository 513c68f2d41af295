// SPDX-License-Identifier: Apache-2.0

package track

import (
	"slices"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
	"github.com/loopwatch/loopwatch/internal/syscalls"
)

// glimpse is what a thread sleeps in, read from user space because the kernel could not: the thread
// fell asleep before the kernel knew how to walk its stack. It belongs to one stretch off the CPU,
// the one of that period that began at sample.At, and to no other.
type glimpse struct {
	sample *wire.Sample
	raw    []cpython.RawFrame
	named  naming // at once: what is there to be read may be gone a moment later
}

// maxGlimpses bounds the glimpses kept of one thread: each is of a stretch of its own.
const maxGlimpses = 4

// sight is a stack walked from user space, and what the kernel knew of the thread then.
type sight struct {
	thread probes.Thread
	raw    []cpython.RawFrame
}

// walkTries is how often a walk is tried of a thread that goes on meanwhile.
const walkTries = 3

// walkHere walks a thread from user space. The stack is good if the thread has stayed in the same
// wait or the same active period meanwhile. If it sleeps outside a wait and the kernel has no stack
// of that, it is kept as a glimpse.
func (c *Tracker) walkHere(t *thread) (sight, bool) {
	for range walkTries {
		before, ok, err := c.kernel.Thread(t.tid)
		if err != nil || !ok {
			return sight{}, false
		}
		raw, _, err := t.proc.Stack(t.state.Addr)
		if err != nil || len(raw) == 0 {
			continue
		}
		var s *wire.Sample
		if sleepsUnseen(before) {
			s = c.sampleHere(t, before, raw)
		}
		after, ok, err := c.kernel.Thread(t.tid)
		if err != nil || !ok {
			return sight{}, false
		}
		if after.InWait != before.InWait || after.Period != before.Period || after.WaitFD != before.WaitFD {
			continue
		}
		if s != nil && after.OffAt == before.OffAt {
			t.keepGlimpse(s, raw)
		}
		return sight{after, raw}, true
	}
	return sight{}, false
}

// sleepsUnseen tells a thread that sleeps outside its wait in a stretch the kernel has no stack of.
func sleepsUnseen(k probes.Thread) bool {
	return !k.InWait && k.OffAt != 0 && k.Asleep && !k.HasStack
}

// sampleHere reads from user space what the kernel would have put into a sample; nil where the
// thread no longer sleeps.
func (c *Tracker) sampleHere(t *thread, k probes.Thread, raw []cpython.RawFrame) *wire.Sample {
	call, err := t.proc.Syscall(t.tid)
	if err != nil || call.Running {
		return nil
	}
	works := t.proc.Call(call.Number, [5]uint64(call.Args[:5]))
	s := &wire.Sample{
		TID: t.tid, Period: k.Period, Kind: wire.Off, At: k.OffAt, Syscall: call.Number, Args: [3]uint64(call.Args[:3]),
		Stopped: k.Stopped, Target: works.Choose(works.Object(), nil),
	}
	c.findTasks(t)
	s.Task = t.runningTask()
	for _, f := range raw {
		s.Stack.Frames = append(s.Stack.Frames, wire.Frame(f))
	}
	return s
}

// keepGlimpse keeps what was seen, with names.
func (t *thread) keepGlimpse(s *wire.Sample, raw []cpython.RawFrame) {
	if t.glimpseOf(s.Period, s.At) != nil {
		return
	}
	if len(t.glimpses) == maxGlimpses {
		t.glimpses = slices.Delete(t.glimpses, 0, 1)
	}
	frames := t.proc.Names.Frames(raw)
	t.glimpses = append(t.glimpses, &glimpse{s, raw, naming{frames: frames, task: t.taskName(s, frames)}})
}

func (t *thread) glimpseOf(period uint64, at int64) *glimpse {
	for _, g := range t.glimpses {
		if g.sample.Period == period && g.sample.At == at {
			return g
		}
	}
	return nil
}

// glimpseNow looks at a thread if it sleeps in a stretch that the kernel has no stack of.
func (c *Tracker) glimpseNow(t *thread, k probes.Thread) {
	if t.state.Addr != 0 && sleepsUnseen(k) && t.glimpseOf(k.Period, k.OffAt) == nil {
		c.walkHere(t)
	}
}

// complete returns the samples of a period with all that is known of the stretches without a stack:
// those glimpsed get it, and what no sample carries gets samples of its own.
func (t *thread) complete(period uint64, samples []*wire.Sample, blind wire.Stackless) []*wire.Sample {
	out := slices.Clone(samples)
	if blind.NS > 0 {
		out = append(out, &wire.Sample{
			TID: t.tid, Period: period, Kind: wire.Off, At: blind.At, NS: blind.NS, Syscall: blind.Syscall, Args: blind.Args,
			Target: wire.Target{FD: -1},
		})
	}
	if rest := blind.TotalNS - blind.NS; rest > 0 {
		out = append(out, &wire.Sample{
			TID: t.tid, Period: period, Kind: wire.Off, At: blind.At + blind.NS, NS: rest, Syscall: -1, Target: wire.Target{FD: -1},
		})
	}
	for i, s := range out {
		if s.Kind != wire.Off || len(s.Stack.Frames) > 0 {
			continue
		}
		if g := t.glimpseOf(period, s.At); g != nil {
			out[i] = g.completing(s)
		}
	}
	return out
}

// completing returns the kernel's sample of a stretch with what only user space could read of it.
func (g *glimpse) completing(s *wire.Sample) *wire.Sample {
	full := *s
	full.Stack, full.Task = g.sample.Stack, g.sample.Task
	full.Syscall, full.Args = g.sample.Syscall, g.sample.Args
	if full.Target.Kind == syscalls.NoTarget {
		full.Target = g.sample.Target
	}
	return &full
}

// bareLoop tells the loop that a thread is inside of though no frame of the loop is on its stack: uvloop
// as asyncio has it running on this thread, gevent by its greenlets. "" is none.
func (c *Tracker) bareLoop(t *thread, v eventloop.Verdict) eventloop.Kind {
	switch {
	case v.Running || v.Forked:
		return ""
	case v.Detached && t.proc.Modules.Extension("gevent"):
		return eventloop.Gevent
	case t.proc.Modules.Extension("uvloop") && c.runsUVLoop(t):
		return eventloop.UVLoop
	}
	return ""
}

// runsUVLoop reports whether asyncio has a thread run a uvloop: its stack does not tell, whose leaf may be anybody's.
func (c *Tracker) runsUVLoop(t *thread) bool {
	c.findTasks(t)
	return t.canNameTasks() && t.tasks.reader.RunsUVLoop(t.proc.Memory, t.state)
}
