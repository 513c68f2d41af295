// SPDX-License-Identifier: Apache-2.0

package correlator

import (
	"maps"
	"time"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/symbolize"
)

// proc is one Python process.
type proc struct {
	process  *process.Process
	runtime  *cpython.Runtime
	memory   process.Memory
	resolver *symbolize.Resolver
	mapped   *symbolize.Modules
	mappedAt time.Time
	layout   uint32
	kernel   Kernel
	peers    map[int]*proc // all there are, by process id
	threads  threadTable

	// inherited are the outermost frames of its main thread that are its parent's, see FromParent.
	inherited   []cpython.RawFrame
	lookedAbove bool

	tasks        map[uint64]*tasks // by interpreter
	unnamedTasks int64

	command         string
	container, unit string
	probed          *probedFile // with the interpreter's own probes, nil until a loop is known
}

func newProc(p *process.Process, rt *cpython.Runtime) *proc {
	memory := p.Memory()
	out := &proc{
		process: p, runtime: rt, memory: memory, resolver: symbolize.New(rt, memory),
		command: p.Cmdline(),
	}
	out.container, out.unit, _ = p.Cgroup() // absent where it cannot be read
	return out
}

// mapModules reads the mappings anew: modules are loaded as a program goes on.
func (p *proc) mapModules() {
	p.mappedAt = time.Now()
	if maps, err := p.process.Maps(); err == nil {
		p.mapped = symbolize.NewModules(maps, p.runtime)
	}
}

// modules returns the mappings, read when they are first asked for: most processes' never are.
func (p *proc) modules() *symbolize.Modules {
	if p.mapped == nil {
		p.mapModules()
	}
	return p.mapped
}

// Extension implements eventloop.Modules.
func (p *proc) Extension(dir string) bool { return p.modules().Extension(dir) }

// classify tells which loop a stack belongs to. Where none is seen, a module mapped since may
// be the reason.
func (p *proc) classify(frames []model.Frame) eventloop.Verdict {
	v := eventloop.Classify(frames, p)
	if v.Kind == "" && time.Since(p.mappedAt) > remapAfter {
		p.mapModules()
		v = eventloop.Classify(frames, p)
	}
	return v
}

// remapAfter is how long the mappings of a process are taken for what they are now.
const remapAfter = time.Second

// failures counts what could not be read of the process, by reason.
func (p *proc) failures() map[string]int64 {
	failures := maps.Clone(p.resolver.Stats().Failures)
	if p.threads.missed > 0 {
		failures[reasonHolders] = p.threads.missed
	}
	if p.unnamedTasks > 0 {
		failures[reasonUnnamed] = p.unnamedTasks
	}
	return failures
}

// thread is a thread of a Python process that waits in epoll.
type thread struct {
	proc    *proc
	tid     int
	state   cpython.Thread // its PyThreadState; Addr 0 unknown
	interp  probes.Interp  // of that
	tasks   *tasks         // of its interpreter, nil unknown
	kind    eventloop.Kind // "" until it is known to be a loop
	verdict probes.Verdict
	slot    uint32
	fds     []probes.FDVerdict
	// anchor is the stack at the loop's own wait. Of a loop without Python frames of its own
	// (uvloop), all of it stands at the root of every stack inside.
	anchor []cpython.RawFrame
	// bare says that such a loop was met in the middle of a period, before any wait of its own.
	bare      bool
	restCode  uint64
	loopSince uint64 // when it became known as a loop, in clock ticks since boot
	// caller and callerCode tell the loop's callbacks apart, see learnCaller.
	caller     eventloop.Caller
	callerCode uint64

	period   uint64 // that the samples belong to
	ended    uint64 // the last period that was reported as a block
	told     uint64 // the last one reported before it had ended
	samples  []*probes.Sample
	glimpses []*glimpse              // the newest last
	inside   *probes.Inside          // what the interpreter's own probes said last
	early    []earlyBlock            // ended before the thread was judged
	named    map[int64]naming        // of the period going on, named early, by Sample.At
	inNamed  uint64                  // that period
	holders  map[int64]*model.Holder // the same of who held what was waited for
	fix      correction
	ready    *readyBlock
}

// naming is a sample with names in place of addresses.
type naming struct {
	frames []model.Frame
	task   string
}

func (t *thread) isLoop() bool { return t.kind != "" && t.slot != probes.NoSlot }

// findState looks for the PyThreadState of the thread with this thread pointer. The list may
// change while it is read, hence more than one try. It is newest first, and while a thread
// starts its state carries the thread pointer of the thread that made it: the last match counts.
func (t *thread) findState(threadID uint64) bool {
	t.state = cpython.Thread{}
	for range 3 {
		states, err := t.proc.runtime.Threads(t.proc.memory)
		if err != nil {
			continue
		}
		for _, s := range states {
			if cpython.IsThread(threadID, s.ThreadID) {
				t.state = s
			}
		}
		if t.state.Addr != 0 {
			break
		}
	}
	t.interp = t.proc.interp(t.state.Interp)
	return t.state.Addr != 0
}

// setFD remembers the verdict on a descriptor. Where there are too many, one that is not the
// loop's own goes first.
func (t *thread) setFD(fd int, v probes.Verdict) {
	if fd < 0 {
		return
	}
	for i := range t.fds {
		if t.fds[i].FD == fd {
			t.fds[i].Verdict = v
			return
		}
	}
	if len(t.fds) == probes.FDs {
		victim := 0
		for i, f := range t.fds {
			if f.Verdict == probes.Ignored {
				victim = i
				break
			}
		}
		t.fds = append(t.fds[:victim], t.fds[victim+1:]...)
	}
	t.fds = append(t.fds, probes.FDVerdict{FD: fd, Verdict: v})
}

// place tells whether a stack lies inside the thread's running loop, and whether everything
// inside is the loop's own machinery, at rest.
func (t *thread) place(raw []cpython.RawFrame, v eventloop.Verdict) (inside, atRest bool) {
	if t.bare && !v.Ending {
		return true, false
	}
	if t.kind == eventloop.UVLoop && !v.Running && len(t.anchor) > 0 {
		inside = t.onAnchor(raw)
		return inside, inside && len(raw) == len(t.anchor)
	}
	return v.Inside(t.kind), v.AtRest
}

// onAnchor tells whether the stack at the loop's own wait stands at the root of this one.
func (t *thread) onAnchor(raw []cpython.RawFrame) bool {
	if len(raw) < len(t.anchor) {
		return false
	}
	root := raw[len(raw)-len(t.anchor):]
	for i := range t.anchor {
		if root[i].Code != t.anchor[i].Code {
			return false
		}
	}
	return true
}

// rawFrames converts a stack of the kernel's. Where its middle was cut, a frame without code
// stands for what is missing.
func rawFrames(s *probes.Stack) []cpython.RawFrame {
	if s == nil {
		return nil
	}
	out := make([]cpython.RawFrame, 0, len(s.Frames))
	for _, f := range s.Frames {
		out = append(out, cpython.RawFrame(f))
	}
	return out
}
