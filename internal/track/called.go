// SPDX-License-Identifier: Apache-2.0

package track

import (
	"github.com/loopwatch/loopwatch/internal/asyncio"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
)

// findCalled names what asyncio's loop calls in a sample of the period going on, where that is a function of C and so has no
// frame: only the loop's handle says what it is. The handle is freed when the call ends, so this is read while it goes on.
func (c *Tracker) findCalled(t *thread, s *wire.Sample) {
	named := t.named[s.At]
	if t.inNamed != s.Period || named.called != "" || len(named.frames) < 2 || !eventloop.RunsHandle(named.frames[:2]) {
		return // it calls a function that has a frame
	}
	const tag = 7 // the low bits of a reference in a frame
	runtime, memory, handle := t.proc.Runtime, t.proc.Memory, s.Callback.Local&^tag
	called, err := asyncio.Calls(runtime, memory, handle)
	if err != nil {
		return // the stack says as much without
	}
	self, err := runtime.Local(memory, s.Callback.Frame, s.Stack.Frames[0].Code, "self")
	now, ok, kernelErr := c.kernel.Thread(t.tid)
	if err != nil || kernelErr != nil || self&^tag != handle || !ok || now.InWait || now.Period != s.Period {
		return // the call may have ended, and another handle be in its place
	}
	named.called = called
	t.named[s.At] = named
}
