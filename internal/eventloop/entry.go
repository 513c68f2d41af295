// SPDX-License-Identifier: Apache-2.0

package eventloop

import "github.com/loopwatch/loopwatch/internal/model"

// Entry is what a loop has called when a stack was taken, as far as names tell.
type Entry struct {
	// Function is it, as function and file. It is empty where the loop itself ran, or a function that has no Python frame.
	Function model.Frame
	// Turns counts the loop's frames around it that call one callback after the other.
	Turns int
	Known bool // or else nothing is
}

// EntryOf returns what a loop has called, given the frames inside the loop's own.
func EntryOf(inside []model.Frame) Entry {
	var e Entry
	for i := len(inside) - 1; i >= 0; i-- {
		f := inside[i]
		at := site{f.File, lastName(f.Function)}
		switch {
		case f.File == "" || f.Function == model.Unreadable || afterwards.has(at):
			return Entry{}
		case turns.has(at):
			e.Turns++
		case !relays.has(at):
			e.Function, e.Known = model.Frame{Function: f.Function, File: f.File}, true
			return e
		}
	}
	e.Known = true
	return e
}

// turns are the functions of loops that call one callback after the other in the same period.
var turns = places{
	{"asyncio/base_events.py", []string{runOnce}},
	{"trio/_core/_run.py", []string{"run_impl", "unrolled_run"}},
	{"twisted/internet/base.py", []string{"runUntilCurrent"}},
	{"twisted/internet/epollreactor.py", []string{"doPoll"}},
	{"twisted/internet/pollreactor.py", []string{"doPoll"}},
	{"twisted/internet/selectreactor.py", []string{"doSelect"}},
	{"gevent/hub.py", []string{"run"}},
	{"gevent/_ffi/loop.py", []string{"run", "_run_callbacks"}},
	{"gevent/libev/corecffi.py", []string{"run"}},
	{"gevent/libuv/loop.py", []string{"run"}},
	{"eventlet/hubs/hub.py", []string{"run", "fire_timers"}},
	{"eventlet/hubs/", []string{"wait"}},
}

// relays stand between these and a callback, and call nothing else.
var relays = places{
	{"asyncio/events.py", []string{"_run"}},
	{"twisted/python/log.py", []string{"callWithLogger", "callWithContext"}},
	{"twisted/python/context.py", []string{"callWithContext"}},
	{"twisted/internet/", []string{"_doReadOrWrite"}},
	{"twisted/internet/asyncioreactor.py", []string{"_onTimer", "_readOrWrite"}},
	{"gevent/greenlet.py", []string{"run"}},
	{"eventlet/hubs/timer.py", []string{"__call__"}},
	{"eventlet/greenthread.py", []string{"main"}},
	{"eventlet/greenpool.py", []string{"_spawn_n_impl"}},
}

// afterwards are called by a relay after the callback.
var afterwards = places{{"eventlet/greenthread.py", []string{"_resolve_links"}}}
