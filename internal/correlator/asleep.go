// SPDX-License-Identifier: Apache-2.0

package correlator

import (
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
)

// Sleep is one thread found asleep at one moment, for those who look once and follow no events.
type Sleep struct {
	Sample    *probes.Sample // Syscall, Args, Target, Stopped count
	GIL       bool           // a futex at Args[0] would be that of the GIL the thread needs
	Frames    []model.Frame  // innermost first
	Collected bool           // the garbage collector runs on this thread
}

// Judge says why the thread sleeps, by the rules that hold for blocks, and on what evidence. The
// culprit is nil where the cause blames no line.
func (s Sleep) Judge() (cause model.Cause, culprit *model.Frame, d model.Detail) {
	culprit, leaf := eventloop.Culprit(s.Frames)
	cause = sleepCause(s.Sample, s.GIL, leaf)
	d = detail(&piece{sample: s.Sample, cause: cause})
	switch {
	case !cause.BlamesLine():
		culprit = nil
	case s.Collected:
		cause = model.CauseGC
	case importing(s.Frames):
		cause = model.CauseImport
	}
	return cause, culprit, d
}

// Restful tells whether the syscall a thread sleeps in is one that a loop may rest in.
func (s Sleep) Restful() bool { return restful(s.Sample) }

// Importing tells whether a stack is inside an import that the loop's own code began.
func Importing(frames []model.Frame) bool { return importing(frames) }
