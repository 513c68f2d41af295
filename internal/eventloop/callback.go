// SPDX-License-Identifier: Apache-2.0

package eventloop

import "github.com/loopwatch/loopwatch/internal/model"

// Caller is how the callbacks of a kind of loop are told apart.
type Caller string

// What stands directly inside the loop's own frame that calls callbacks.
const (
	CallerUnknown Caller = ""
	CallerHandle  Caller = "handle" // the method of a handle, whose first local variable is the handle
	CallerTask    Caller = "task"   // the coroutine of a task, or another function that tells nothing
	CallerRoot    Caller = "root"   // nothing: every stack is one greenlet's own
	// CallerDelayed: what a delayed call of Twisted calls. It may be a method of Twisted's own, whose first local
	// variable is its object.
	CallerDelayed Caller = "delayed"
)

var (
	runOnceFrame  = places{{"asyncio/base_events.py", []string{runOnce}}}
	trioRunFrame  = places{{"trio/_core/_run.py", []string{"unrolled_run", "run_impl"}}} // before trio 0.18 the latter
	handleRunning = places{{"asyncio/events.py", []string{"_run"}}}
	// The GreenThread is the first argument of the one; the other's third are the connection and its peer.
	greenletBegins = places{{"eventlet/greenthread.py", []string{"main"}}, {"gevent/baseserver.py", []string{"_handle_and_close_when_done"}}}
	delayedCalls   = places{{"twisted/internet/base.py", []string{"runUntilCurrent"}}}
	// ofObjects are methods that Twisted has delayed calls call, for an object that waits for nothing else.
	ofObjects = places{{"twisted/internet/defer.py", []string{"callback", "errback"}}, {"twisted/internet/task.py", []string{"__call__"}}}
)

// CallerAt finds the frame that calls the callbacks in the stack at a loop's own wait, and says
// what stands inside it when it does; -1 where there is none.
func CallerAt(frames []model.Frame, kind Kind) (int, Caller) {
	if kind.Greenlets() {
		return -1, CallerRoot
	}
	for i := len(frames) - 1; i >= 0; i-- { // of nested loops the outer one
		switch at := (site{frames[i].File, lastName(frames[i].Function)}); {
		case runOnceFrame.has(at):
			return i, CallerHandle
		case trioRunFrame.has(at):
			return i, CallerTask
		case delayedCalls.has(at):
			return i, CallerDelayed
		}
	}
	if kind == UVLoop && len(frames) > 0 {
		return 0, CallerTask
	}
	return -1, CallerUnknown
}

// RunsHandle reports whether asyncio's iteration runs a handle on this stack, the outermost such
// iteration where there are several.
func RunsHandle(frames []model.Frame) bool { return HandleAt(frames) >= 0 }

// HandleAt returns the index of the frame in which it does, -1 where it does not.
func HandleAt(frames []model.Frame) int { return calledAt(frames, runOnceFrame, handleRunning) }

// RunsObject tells the same of Twisted's delayed calls, and a method whose object waits for this call alone.
func RunsObject(frames []model.Frame) bool { return calledAt(frames, delayedCalls, ofObjects) >= 0 }

// ArgumentsTell reports whether the outermost frame is of a function that gets what tells greenlets apart as its first three
// arguments, and keeps them: a greenlet whose stack has ended leaves its place to the next at once.
func ArgumentsTell(frames []model.Frame) bool {
	if len(frames) == 0 {
		return false
	}
	outermost := frames[len(frames)-1]
	return greenletBegins.has(site{outermost.File, lastName(outermost.Function)})
}

// calledAt returns the index of the frame that the outermost of the callers has called, -1 where that is of none of these functions.
func calledAt(frames []model.Frame, callers, functions places) int {
	for i := len(frames) - 1; i > 0; i-- {
		if callers.has(site{frames[i].File, lastName(frames[i].Function)}) {
			if functions.has(site{frames[i-1].File, lastName(frames[i-1].Function)}) {
				return i - 1
			}
			return -1
		}
	}
	return -1
}
