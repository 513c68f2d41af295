// SPDX-License-Identifier: Apache-2.0

package track

import (
	"time"

	"github.com/loopwatch/loopwatch/internal/block"
	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
	"github.com/loopwatch/loopwatch/internal/python"
)

// thread is a thread of a Python process that waits in epoll.
type thread struct {
	proc      *proc
	tid       int
	state     cpython.Thread     // its PyThreadState; Addr 0 unknown
	shared    bool               // it has one in each of several interpreters
	interp    python.Interpreter // of that
	tasks     *tasks             // of its interpreter, nil unknown
	loop      block.Loop         // what is known of its loop
	loopSince uint64             // when it became known as a loop, in the unit of process.Process.StartTime
	verdict   probes.Verdict
	slot      uint32
	fds       probes.FDVerdicts

	period   uint64 // that the samples belong to
	ended    uint64 // the last period that was reported as a block
	reported reported
	samples  []*wire.Sample
	glimpses []*glimpse              // the newest last
	account  *wire.Account           // what the interpreter's own probes said last
	early    []earlyBlock            // ended before the thread was judged
	named    map[int64]naming        // of the period going on, named early, by Sample.At
	inNamed  uint64                  // that period
	holders  map[int64]*model.Holder // the same of who held what was waited for
	fix      block.Corrections
}

// reported is the last block that was reported before it had ended.
type reported struct {
	period  uint64 // its number
	startNS int64
	again   time.Duration // how long the period is when it is looked at again
}

// is reports whether it was a block of this period that begins about there.
func (b *reported) is(period uint64, startNS int64, threshold time.Duration) bool {
	return b.period == period && startNS-b.startNS < int64(threshold)
}

// naming is a sample with names in place of addresses.
type naming struct {
	frames []model.Frame
	task   string
	called python.Call // what the loop calls itself, see findCalled
}

func (t *thread) isLoop() bool { return t.loop.Kind != "" && t.slot != probes.NoSlot }

// stack returns a stack of the thread with its names.
func (t *thread) stack(raw []cpython.RawFrame, frames []model.Frame) python.Stack {
	return python.Stack{Raw: raw, Frames: frames, Main: t.tid == t.proc.PID}
}

// findState looks for the state of the thread with this thread pointer.
func (t *thread) findState(threadID uint64) (ok bool) {
	t.state, t.shared, ok = t.proc.FindThread(threadID)
	t.interp = t.proc.Interpreter(t.state.Interp)
	return ok
}

// learnCaller finds out what calls the callbacks of a loop that is met outside its wait. It may never come to one: eventlet's
// hub sleeps while it has no descriptors. A uvloop without frames of its own shows that at its wait alone.
func (t *thread) learnCaller(at []block.Address, frames []model.Frame) {
	if t.loop.Kind != eventloop.UVLoop {
		t.loop.Caller, t.loop.CallerCode = block.FindCaller(at, frames, t.loop.Kind)
	}
}

// addresses returns what tells frames apart.
func addresses(raw []cpython.RawFrame) []block.Address {
	out := make([]block.Address, 0, len(raw))
	for _, f := range raw {
		out = append(out, block.Address{Code: f.Code, Instr: f.Instr})
	}
	return out
}
