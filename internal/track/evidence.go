// SPDX-License-Identifier: Apache-2.0

package track

import (
	"slices"

	"github.com/loopwatch/loopwatch/internal/block"
	"github.com/loopwatch/loopwatch/internal/cause"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
	"github.com/loopwatch/loopwatch/internal/python"
)

// endedPeriod gathers the evidence on a period that has ended.
func (c *Tracker) endedPeriod(t *thread, b *wire.Block, samples []*wire.Sample) *block.Evidence {
	e := c.evidence(t, b.Period)
	e.StartNS, e.EndNS, e.Seeded, e.Exited = b.Start, b.End, b.Seeded, b.Exited
	e.OffNS, e.WaitedNS, e.ThrottledNS, e.StoppedNS = b.OffNS, b.WaitedNS, b.ThrottledNS, b.StoppedNS
	e.Samples = c.samples(t, t.complete(b.Period, samples, b.Stackless))
	e.Account = accountOf(t.takeAccount(b.Period))
	e.Late = block.Late(b.Late)
	return e
}

// openPeriod gathers the evidence on the period that a thread is in, or where it is late in its wait, on the one to come.
// samples are those sent so far. On the way it looks at a sleep that has no stack.
func (c *Tracker) openPeriod(t *thread, k probes.Thread, samples []*wire.Sample, now int64) *block.Evidence {
	if k.InWait {
		e := c.evidence(t, openNumber(k))
		e.StartNS, e.EndNS, e.Open, e.Late = now, now, true, block.Late(k.Before(now))
		return e
	}
	held, err := c.kernel.HeldSamples(k, now)
	if err != nil {
		c.check(err)
	}
	e := c.evidence(t, k.Period)
	e.StartNS, e.EndNS, e.Seeded, e.Open, e.Late = k.Since, now, k.Seeded, true, block.Late(k.Before(now))
	e.OffNS, e.WaitedNS, e.ThrottledNS, e.StoppedNS = k.OffNS, k.WaitedNS, k.ThrottledNS, k.StoppedNS
	if k.OffAt != 0 {
		open := max(now-k.OffAt, 0)
		e.OffNS += open
		if !k.Asleep {
			e.WaitedNS += open
		}
		if !k.Asleep && k.Throttled {
			e.ThrottledNS += open
		}
		if k.Stopped {
			e.StoppedNS += open
		}
	}
	c.glimpseNow(t, k)
	e.Samples = c.samples(t, t.complete(k.Period, slices.Concat(samples, held), k.Stackless))
	account, err := c.kernel.Account(k, now, e.OffNS, e.WaitedNS+e.StoppedNS)
	c.check(err)
	e.Account = accountOf(account)
	return e
}

// evidence begins the evidence on a period with what is known of its thread.
func (c *Tracker) evidence(t *thread, period uint64) *block.Evidence {
	e := &block.Evidence{PID: t.proc.PID, TID: t.tid, Period: period, ThresholdNS: int64(c.opts.Threshold), Loop: t.loop}
	e.Loop.FramesTellOwner = t.proc.Runtime.Layout.FrameOwner != 0
	return e
}

// samples gives samples their names, and adds what only the process can tell now.
func (c *Tracker) samples(t *thread, samples []*wire.Sample) []block.Sample {
	out := make([]block.Sample, 0, len(samples))
	for _, s := range samples {
		out = append(out, c.sample(t, s))
	}
	return out
}

func (c *Tracker) sample(t *thread, s *wire.Sample) block.Sample {
	raw := python.RawFrames(&s.Stack)
	n := t.name(s, raw)
	out := block.Sample{
		AtNS: s.At, NS: s.NS, CPUNS: s.CPUNS, WaitedNS: s.WaitedNS, ThrottledNS: s.ThrottledNS, Busy: interpreterOf(s),
		Frames: n.frames, Raw: addresses(raw), Cut: s.Stack.Cut, Partial: s.Stack.Partial, HasTask: s.Task != nil, Task: n.task, Called: n.called.Name,
		Callback: block.Callback(s.Callback), Scheduled: n.called.Scheduled,
	}
	if h := c.holder(t, s); h != nil {
		out.Holder = &block.Holder{ThreadPointer: s.Holder.ThreadID, Holder: *h}
	}
	if len(n.frames) > 0 {
		out.Extensions, out.Inherited = t.proc.Origin(t.stack(raw, n.frames))
	}
	out.Sleep = c.sleepOf(t, s)
	if s.Kind != wire.Off {
		out.Kind = block.Tick
		out.Module, out.Interpreter = t.proc.Modules.FindFresh(s.IP)
		if (cause.Run{Module: out.Module, Interpreter: out.Interpreter, GIL: out.Busy.GIL}).Native() {
			out.Function = t.proc.NativeFunction(s.IP)
		}
	}
	return out
}

// sleepOf returns what is known of a sample's thread in the kernel.
func (c *Tracker) sleepOf(t *thread, s *wire.Sample) cause.Sleep {
	sleep := cause.Sleep{
		Call:    cause.Call{Number: s.Syscall, Args: s.Args, Target: s.Target},
		Stopped: s.Stopped, GIL: t.interp.IsGIL(s.Args[0]),
	}
	if len(s.Kernel) > 0 && (s.Kind == wire.Off || s.Syscall >= 0) && sleep.NeedsPlace() {
		sleep.Place = c.symbols.Where(s.Kernel)
	}
	return sleep
}

// interpreterOf returns what a sample's interpreter was busy with.
func interpreterOf(s *wire.Sample) cause.Interpreter {
	return cause.Interpreter{Phase: phaseOf(s.Phase), Collecting: s.GC, GIL: gilOf(s)}
}

func phaseOf(p wire.Phase) cause.Phase {
	switch p {
	case wire.PhaseGC:
		return cause.PhaseGC
	case wire.PhaseImport:
		return cause.PhaseImport
	}
	return cause.NoPhase
}

func gilOf(s *wire.Sample) model.GIL {
	switch s.GIL {
	case wire.GILHeld:
		return model.GILHeld
	case wire.GILReleased:
		return model.GILReleased
	}
	return ""
}

// accountOf returns what the interpreter's own probes said, nil if nothing.
func accountOf(in *wire.Account) *block.Account {
	if in == nil {
		return nil
	}
	a := &block.Account{
		Phases: make(map[cause.Phase]block.PhaseTime),
		GCs:    in.GCs, GCNS: in.GCNS, GCMaxNS: in.GCMaxNS, GCGeneration: in.GCGeneration, GCCollected: in.GCCollected,
		Imports: in.Imports, ImportNS: in.ImportNS, ImportMaxNS: in.ImportMaxNS, Module: in.Module, AuditsMore: in.AuditsMore,
	}
	for p, spent := range in.Phases {
		if phase := phaseOf(p); phase != cause.NoPhase {
			a.Phases[phase] = block.PhaseTime(spent)
		}
	}
	for _, e := range in.Audits {
		a.Audits = append(a.Audits, model.AuditEvent{Event: e.Name, Count: e.Count})
	}
	return a
}

// onAccount keeps what the interpreter's own probes said, for the block that comes next.
func (c *Tracker) onAccount(e *wire.Account) {
	if t := c.threads[e.TID]; t != nil {
		t.account = e
	}
}

func (t *thread) takeAccount(period uint64) *wire.Account {
	in := t.account
	t.account = nil
	if in == nil || in.Period != period {
		return nil
	}
	return in
}
