// SPDX-License-Identifier: Apache-2.0

package track

import (
	"slices"

	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
	"github.com/loopwatch/loopwatch/internal/python"
)

// findCalled reads what asyncio's loop calls in a sample of the period going on, where no line of the application's stands inside. The
// handle is freed when the call ends, so this is read while it goes on.
func (c *Tracker) findCalled(t *thread, s *wire.Sample) {
	named := t.named[s.At]
	at := eventloop.HandleAt(named.frames)
	if t.inNamed != s.Period || named.called != (python.Call{}) || at < 0 || s.Stack.Cut > 0 ||
		slices.ContainsFunc(named.frames[:at], func(f model.Frame) bool { return f.App }) {
		return
	}
	call := t.proc.HandleCall(s.Callback.Local, s.Callback.Frame, s.Stack.Frames[at].Code)
	if at > 0 {
		call.Name = "" // the stack says as much without
	}
	if now, ok, err := c.kernel.Thread(t.tid); err == nil && ok && !now.InWait && now.Period == s.Period {
		named.called = call
		t.named[s.At] = named
	}
}
