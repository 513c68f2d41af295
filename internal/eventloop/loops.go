// SPDX-License-Identifier: Apache-2.0

package eventloop

import "strings"

// place is a function in a file. The file is the end of a path, beginning at a path element;
// one that ends in a slash is a directory, and stands for the files in it.
type place struct {
	file      string
	functions []string
}

type places []place

func (p places) has(f site) bool {
	for i := range p {
		for _, name := range p[i].functions {
			if name == f.function && within(f.file, p[i].file) {
				return true
			}
		}
	}
	return false
}

// within reports whether path ends in end, or lies in that directory. Frozen programs have
// relative paths, hence the path that begins with it. Every path is within "". asyncio is that of the standard library.
func within(path, end string) bool {
	if end == "" {
		return true
	}
	if strings.HasSuffix(end, "/") {
		slash := strings.LastIndexByte(path, '/')
		path = path[:slash+1]
	}
	before, ok := strings.CutSuffix(path, end)
	if !ok || before != "" && !strings.HasSuffix(before, "/") {
		return false
	}
	return !strings.HasPrefix(end, "asyncio/") || isStandardLibrary(before)
}

// isStandardLibrary reports whether a directory is one of the standard library: an application may have a package called
// asyncio of its own.
func isStandardLibrary(dir string) bool {
	_, name := cutLast(strings.TrimSuffix(dir, "/"))
	return dir == "" || isVersioned(name, "python", "") || strings.HasSuffix(name, ".zip") || name == "Lib"
}

// loop is how one kind of loop looks on the stack.
type loop struct {
	kind Kind
	// anchors are the frames that stay on the stack as long as the loop runs.
	anchors places
	// inner are frames that may follow an anchor, and then belong to what stays.
	inner places
	// wait are the frames a wait of the loop's own may have inside the anchor.
	wait places
	// bare says that the loop's own frame may wait itself, in an extension module.
	bare bool
}

// runOnce is asyncio's iteration. It is an anchor by name wherever the loop's own frame called
// it, since programs override it.
const runOnce = "_run_once"

func (l *loop) continues(f site) bool {
	return l.anchors.has(f) || l.inner.has(f) || l.kind == Asyncio && f.function == runOnce
}

// rests reports whether the frames inside s[root] only wait.
func (l *loop) rests(s stack, root int) bool {
	if root == 0 {
		return l.bare || s[0].function == runOnce
	}
	if l.kind == Asyncio && s[root].function != runOnce {
		return false
	}
	for _, f := range s[:root] {
		if !l.wait.has(f) {
			return false
		}
	}
	// A program may bring its own selector, but it is called select.
	return true
}

// The tables below were made from stacks of the releases that Debian 11 to 13 and Python 3.8
// to 3.15 have, and hold for them; the tests look at those that are installed.
var loops = []loop{
	{
		kind: Asyncio,
		anchors: places{
			{"asyncio/base_events.py", []string{"run_forever", runOnce}},
			{"nest_asyncio.py", []string{"run_forever", "run_until_complete", runOnce}},
		},
		wait: places{{"", []string{"select"}}},
	},
	{
		kind:    Trio,
		anchors: places{{"trio/_core/_run.py", []string{"run"}}},
		// Trio before 0.15 iterated in a function of its own, which called handle_io.
		wait:  places{{"trio/_core/_io_epoll.py", []string{"get_events", "handle_io"}}},
		inner: places{{"trio/_core/_run.py", []string{"run_impl"}}},
	},
	{
		kind:    Twisted,
		anchors: places{{"twisted/internet/base.py", []string{"mainLoop"}}},
		wait: places{
			{"twisted/internet/epollreactor.py", []string{"doPoll"}},
			{"twisted/internet/pollreactor.py", []string{"doPoll"}},
			{"twisted/internet/selectreactor.py", []string{"doSelect", "_select"}},
		},
	},
	{
		kind:    Gevent,
		anchors: places{{"gevent/hub.py", []string{"run"}}},
		wait: places{
			{"gevent/_ffi/loop.py", []string{"run"}},
			{"gevent/libev/corecffi.py", []string{"run"}},
			{"gevent/libuv/loop.py", []string{"run"}},
		},
		bare: true,
	},
	{
		kind: Eventlet,
		anchors: places{
			{"eventlet/hubs/hub.py", []string{"run"}},
			{"eventlet/greenthread.py", []string{"main"}},
		},
		wait: places{{"eventlet/hubs/", []string{"wait", "do_poll"}}},
	},
	{
		kind:    Curio,
		anchors: places{{"curio/kernel.py", []string{"kernel_run"}}},
		wait:    places{{"", []string{"select"}}},
	},
}

// nestedRunOnce is the iteration of a loop that nest_asyncio has entered a second time.
var nestedRunOnce = places{{"nest_asyncio.py", []string{runOnce}}}

// asyncioStart are the frames by which asyncio's programs start a loop, of whatever make.
var asyncioStart = places{
	{"asyncio/runners.py", []string{"run"}},
	{"asyncio/base_events.py", []string{"run_until_complete", "run_forever"}},
	{"nest_asyncio.py", []string{"run", "run_until_complete", "run_forever"}},
	{"uvloop/__init__.py", []string{"run"}},
	{"unittest/async_case.py", []string{"_callSetUp", "_callAsync", "_callMaybeAsync", "_tearDownAsyncioLoop"}},
}

// borrowers are the frameworks that run on asyncio's loop, and where they start it.
var borrowers = []struct {
	kind  Kind
	start places
}{
	{Tornado, places{{"tornado/platform/asyncio.py", []string{"start"}}}},
	{Twisted, places{{"twisted/internet/asyncioreactor.py", []string{"run"}}}},
	{Eventlet, places{{"eventlet/hubs/asyncio.py", []string{"run"}}}},
}

// forkedBegin is where a child of multiprocessing, or of its descendants, begins. Where it was forked, the
// frames outside are the parent's.
var forkedBegin = places{
	{"multiprocessing/process.py", []string{"_bootstrap"}},
	{"multiprocess/process.py", []string{"_bootstrap"}},
	{"billiard/process.py", []string{"_bootstrap"}},
}

// targetCallers are the frames of the standard library that call what a program hands to a thread. They do not wait
// themselves: a wait right there is made by the function of C they called, such as run_forever of uvloop.
var targetCallers = places{
	{"threading.py", []string{"run"}},
	{"concurrent/futures/thread.py", []string{"run"}},
}

// threadRoots are, with forkedBegin, the outermost frames of threads and programs: a stack that ends in one is no
// greenlet's own. Under gevent's and eventlet's replacements for threading it may be one all
// the same, but there the kind tells.
var threadRoots = places{
	{"", []string{"<module>"}},
	{"<frozen runpy>", []string{"_run_module_as_main"}},
	{"runpy.py", []string{"_run_module_as_main"}},
	{"threading.py", []string{"_bootstrap"}},
	{"gevent/threadpool.py", []string{"run"}}, // a worker, whose greenlet no hub switches to
}

// endings are what the interpreter calls when it shuts down, with no frame of the program left.
var endings = places{
	{"", []string{"__del__"}},
	{"threading.py", []string{"_shutdown"}},
	// Callbacks of weak references, as the last collection makes them.
	{"weakref.py", []string{"_exitfunc", "remove", "_remove", "__call__"}},
	{"_weakrefset.py", []string{"_remove"}},
	{"concurrent/futures/thread.py", []string{"_python_exit"}},
	{"concurrent/futures/process.py", []string{"_python_exit"}},
	{"multiprocessing/util.py", []string{"_exit_function"}},
	{"logging/__init__.py", []string{"shutdown"}},
}
