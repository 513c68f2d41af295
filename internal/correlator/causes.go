// SPDX-License-Identifier: Apache-2.0

package correlator

import (
	"github.com/loopwatch/loopwatch/internal/cause"
	"github.com/loopwatch/loopwatch/internal/kernelstack"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
)

// judgeSample says what a sample's thread slept in or ran, and the module if that is native code. The result does not yet
// depend on what the interpreter was busy with.
func (t *thread) judgeSample(s *probes.Sample, frames []model.Frame) (c model.Cause, native string) {
	if s.Kind == probes.Off {
		return cause.OfSleep(t.sleepOf(s), frames), ""
	}
	run := cause.Run{GIL: gilOf(s)}
	if s.Syscall >= 0 {
		sleep := t.sleepOf(s)
		run.Kernel = &sleep
	}
	run.Module, run.Interpreter = t.proc.Modules.FindFresh(s.IP)
	return cause.OfRun(run, frames)
}

// callOf returns the syscall of a sample.
func callOf(s *probes.Sample) cause.Call {
	return cause.Call{Number: s.Syscall, Args: s.Args, Target: s.Target}
}

// sleepOf returns what is known of a sample's thread in the kernel.
func (t *thread) sleepOf(s *probes.Sample) cause.Sleep {
	sleep := cause.Sleep{Call: callOf(s), Stopped: s.Stopped, GIL: t.interp.IsGIL(s.Args[0])}
	if len(s.Kernel) > 0 && sleep.NeedsPlace() {
		sleep.Place = kernelstack.Where(s.Kernel)
	}
	return sleep
}

// interpreterOf returns what a sample's interpreter was busy with.
func interpreterOf(s *probes.Sample) cause.Interpreter {
	return cause.Interpreter{Phase: phaseOf(s.Room), Collecting: s.GC, GIL: gilOf(s)}
}

func phaseOf(r probes.Room) cause.Phase {
	switch r {
	case probes.RoomGC:
		return cause.PhaseGC
	case probes.RoomImport:
		return cause.PhaseImport
	}
	return cause.NoPhase
}

func gilOf(s *probes.Sample) model.GIL {
	switch s.GIL {
	case probes.GILHeld:
		return model.GILHeld
	case probes.GILReleased:
		return model.GILReleased
	}
	return ""
}

// mainModule returns the module that most native time was spent in.
func mainModule(pieces []piece) string {
	ns := make(map[string]int64)
	for i := range pieces {
		if p := &pieces[i]; p.native != "" {
			ns[p.native] += p.ns
		}
	}
	return cause.MainModule(ns)
}
