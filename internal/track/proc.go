// SPDX-License-Identifier: Apache-2.0

package track

import (
	"maps"

	"github.com/loopwatch/loopwatch/internal/attachment"
	"github.com/loopwatch/loopwatch/internal/layout"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/python"
)

// proc is a Python process that is watched, with what the observation keeps of it.
type proc struct {
	*python.Process
	layouts      layout.Held
	threads      *python.ThreadIDs
	tasks        map[uint64]*tasks // by interpreter
	unnamedTasks int64
	startKnown   bool             // LearnStart was called
	probed       *attachment.File // with the interpreter's own probes, nil until a loop is known
}

// newProc returns a process whose threads list lists.
func newProc(p *python.Process, list func(pid int) (map[uint64]int, error)) *proc {
	return &proc{Process: p, threads: python.NewThreadIDs(p, list), tasks: make(map[uint64]*tasks)}
}

// failures counts what could not be read of the process, by reason.
func (p *proc) failures() map[string]int64 {
	failures := maps.Clone(p.Names.Stats().Failures)
	if missed := p.threads.Missed(); missed > 0 {
		failures[reasonHolders] = missed
	}
	if p.unnamedTasks > 0 {
		failures[reasonUnnamed] = p.unnamedTasks
	}
	memory, files := p.GivenUp()
	if memory > 0 {
		failures[reasonSilent] = memory
	}
	if files > 0 {
		failures[reasonFiles] = files
	}
	if n := p.UnnamedNative(); n > 0 {
		failures[python.ReasonNative] = n
	}
	if p.ParentCut() {
		failures[python.ReasonParentCut] = 1
	}
	return failures
}

// kernelInterp hands an interpreter to the kernel.
func kernelInterp(i python.Interpreter) probes.Interp {
	return probes.Interp{GIL: i.GIL, Collecting: i.Collecting, Threads: i.Threads}
}
