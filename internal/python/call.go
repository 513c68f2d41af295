// SPDX-License-Identifier: Apache-2.0

package python

import (
	"github.com/loopwatch/loopwatch/internal/asyncio"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
)

// Call is what a handle of asyncio's loop says of what it calls. What is not known is empty.
type Call struct {
	Name string // of a function of C, which has no frame
	// Scheduled is the line that scheduled it: the innermost of the application's, else the innermost that is not the loop's own. asyncio
	// keeps that in debug mode alone.
	Scheduled *model.Frame
}

// HandleCall reads a handle of asyncio's loop, which the frame of Handle._run at this address, with this code, runs. What is read may
// change meanwhile: the answer is as true as the thread is still.
func (p *Process) HandleCall(handle, frame, code uint64) (c Call) {
	const tag = 7 // the low bits of a reference in a frame
	handle &^= tag
	c.Name, _ = asyncio.Calls(p.Runtime, p.Memory, handle)
	places, _ := asyncio.Scheduled(p.Runtime, p.Memory, handle)
	for _, at := range places {
		f := model.Frame{Function: at.Function, File: at.File, Line: at.Line, App: p.app.IsApp(at.File)}
		if f.App {
			c.Scheduled = &f
			break
		}
		if c.Scheduled == nil && !eventloop.IsMachinery(f) {
			c.Scheduled = &f
		}
	}
	if self, err := p.Runtime.Local(p.Memory, frame, code, "self"); err != nil || self&^tag != handle {
		return Call{} // the call has ended, and another handle may be in its place
	}
	return c
}
