// SPDX-License-Identifier: Apache-2.0

package eventloop_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
)

func TestIsApp(t *testing.T) {
	for file, want := range map[string]bool{
		"/srv/app/main.py":               true,
		"app.py":                         true,
		"<string>":                       true,
		"<ipython-input-3-0123456789ab>": true,
		"<rule 7>":                       true,
		"/srv/asyncio/tasks.py":          true, // a directory of the user's
		"/srv/gevent/app.py":             true,
		"/srv/python3/app.py":            true,
		"/usr/lib/myapp/main.py":         true,
		"/srv/lib/python3.py":            true,
		"/opt/app/selectors.py":          true,

		"":                                                       false,
		"[unreadable]":                                           false,
		"<frozen importlib._bootstrap>":                          false,
		"<attrs generated init app.User>":                        false,
		"/usr/lib/python3.11/json/decoder.py":                    false,
		"/usr/lib64/python3.9/json/decoder.py":                   false,
		"/usr/local/lib/python3.13t/json/decoder.py":             false,
		"/usr/lib/python311.zip/json/decoder.py":                 false,
		"/usr/lib/python3.11/asyncio/tasks.py":                   false,
		"/usr/lib/python3/dist-packages/aiohttp/web.py":          false,
		"/srv/venv/lib/python3.12/site-packages/requests/api.py": false,
		"/home/app/.pex/installed_wheels/0a/requests-2.31.whl/requests/api.py": false,
		"/src/trio/trio/_core/_run.py":                                         false,
		"/srv/shop/asyncio/events.py":                                          true,
		"/usr/lib/python3/dist-packages/sqlalchemy/ext/asyncio/engine.py":      false,
		"/opt/app/base_library.zip/asyncio/events.py":                          false,
		"/src/cpython/Lib/asyncio/events.py":                                   false,
		"asyncio/base_events.py":                                               false, // a frozen program's
		"/srv/app/vendor/twisted/internet/base.py":                             false,
		"/opt/python/lib/python3.8/selectors.py":                               false,
	} {
		assert.Equal(t, want, eventloop.IsApp(file), file)
	}
}

func TestCulprit(t *testing.T) {
	lib := model.Frame{Function: "get", File: "/usr/lib/python3/dist-packages/requests/api.py", Line: 1}
	app := model.Frame{Function: "handler", File: "/srv/app.py", Line: 2, App: true}
	outer := model.Frame{Function: "main", File: "/srv/app.py", Line: 3, App: true}
	gone := model.Frame{Function: "[unreadable]"}
	made := model.Frame{Function: "__init__", File: "<string>", Line: 3, App: true}
	handle := model.Frame{Function: "Handle._run", File: "/usr/lib/python3.11/asyncio/events.py", Line: 4}
	for _, c := range []struct {
		frames        []model.Frame
		culprit, leaf *model.Frame
	}{
		{nil, nil, nil},
		{[]model.Frame{lib, app, lib, outer}, &app, &lib},
		{[]model.Frame{gone, lib, lib}, &lib, &lib},
		{[]model.Frame{gone}, nil, &gone},
		{[]model.Frame{handle}, nil, &handle},
		{[]model.Frame{lib, handle}, &lib, &lib},
		{[]model.Frame{made, app, handle}, &app, &made},
		{[]model.Frame{lib, made, handle}, &made, &lib},
	} {
		assert.Equal(t, c.culprit, eventloop.Culprit(c.frames))
		assert.Equal(t, c.leaf, eventloop.Leaf(c.frames))
	}
}

// TestDetached: a greenlet's stack does not show its loop, and is told from the main stack of
// a program whose loop has ended.
func TestDetached(t *testing.T) {
	greenlet := files{"/usr/lib/python3/dist-packages/greenlet/_greenlet.cpython-311-x86_64-linux-gnu.so"}
	inside := []model.Frame{{Function: "load", File: "/srv/app.py"}}
	main := append(inside, model.Frame{Function: "<module>", File: "/srv/app.py"})

	v := eventloop.Classify(inside, greenlet)
	assert.Equal(t, eventloop.Verdict{Detached: true, Root: -1}, v)
	assert.True(t, v.Inside(eventloop.Asyncio))
	assert.False(t, eventloop.Classify(inside, nil).Inside(eventloop.Asyncio))
	assert.False(t, eventloop.Classify(main, greenlet).Inside(eventloop.Asyncio))
	assert.True(t, eventloop.Classify(main, greenlet).Inside(eventloop.Gevent))
}

// TestShutdown: what the interpreter calls as it shuts down is outside of every loop.
func TestShutdown(t *testing.T) {
	finaliser := []model.Frame{{Function: "Forward.__del__", File: "/usr/lib/python3.11/_weakrefset.py"}}
	assert.False(t, eventloop.Classify(finaliser, nil).Inside(eventloop.Eventlet))
	forgotten := []model.Frame{{Function: "WeakSet.__init__.<locals>._remove", File: "/usr/lib/python3.11/_weakrefset.py"}}
	assert.False(t, eventloop.Classify(forgotten, nil).Inside(eventloop.Gevent))
	in := append(finaliser, model.Frame{Function: "work", File: "/srv/app.py"})
	assert.True(t, eventloop.Classify(in, nil).Inside(eventloop.Eventlet))
}

// TestAnyStack: names are a foreign process's and may be anything.
func TestAnyStack(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	parts := []string{"", ".", "/", "run", "<locals>", "_run_once", "asyncio/base_events.py", "run_forever", "\x00", "nest_asyncio.py", "trio/_core/_run.py", "lib/python3."}
	word := func() (s string) {
		for range rng.IntN(4) {
			s += parts[rng.IntN(len(parts))]
		}
		return s
	}
	for range 20_000 {
		frames := make([]model.Frame, rng.IntN(6))
		for i := range frames {
			frames[i] = model.Frame{Function: word(), File: word()}
		}
		v := eventloop.Classify(frames, files{"/x/uvloop/loop.so"})
		require.GreaterOrEqual(t, v.Root, -1)
		require.Less(t, v.Root, max(len(frames), 1))
		require.False(t, v.Running && (v.Kind == "" || v.Root < 0))
	}
}

// TestForked: a worker of multiprocessing that was forked in a callback has its parent's loop on the stack.
func TestForked(t *testing.T) {
	const lib = "/usr/lib/python3.11/"
	worker := []model.Frame{
		{Function: "Connection._recv", File: lib + "multiprocessing/connection.py"},
		{Function: "BaseProcess.run", File: lib + "multiprocessing/process.py"},
		{Function: "BaseProcess._bootstrap", File: lib + "multiprocessing/process.py"},
	}
	loop := []model.Frame{
		{Function: "main", File: "/srv/app.py"},
		{Function: "BaseEventLoop._run_once", File: lib + "asyncio/base_events.py"},
		{Function: "BaseEventLoop.run_forever", File: lib + "asyncio/base_events.py"},
		{Function: "<module>", File: "/srv/app.py"},
	}
	assert.True(t, eventloop.Classify(loop, nil).Running)
	uvloop := files{"/usr/lib/python3/dist-packages/uvloop/loop.cpython-311-x86_64-linux-gnu.so"}
	for _, mods := range []eventloop.Modules{nil, uvloop} {
		assert.Equal(t, eventloop.Verdict{Root: -1, Forked: true}, eventloop.Classify(slices.Concat(worker, loop), mods))
		assert.Equal(t, eventloop.Verdict{Root: -1}, eventloop.Classify(worker, mods))
	}
	own := slices.Concat(loop[:3], worker, loop)
	assert.Equal(t, eventloop.Verdict{Kind: eventloop.Asyncio, Running: true, Root: 1, Forked: true}, eventloop.Classify(own, nil))
}

// TestUVLoopOfAnInstalledPackage: a server in site-packages calls run_until_complete of a uvloop, which has no frame of its own.
func TestUVLoopOfAnInstalledPackage(t *testing.T) {
	uvloop := files{"/opt/venv/lib/python3.12/site-packages/uvloop/loop.cpython-312-x86_64-linux-gnu.so"}
	server := model.Frame{Function: "_run", File: "/opt/venv/lib/python3.12/site-packages/hypercorn/asyncio/run.py"}
	main := model.Frame{Function: "<module>", File: "/opt/venv/bin/hypercorn"}
	may := eventloop.Verdict{Kind: eventloop.UVLoop, MayRest: true, Root: -1}
	assert.Equal(t, may, eventloop.Classify([]model.Frame{server, main}, uvloop))
	assert.Equal(t, eventloop.Verdict{Root: -1}, eventloop.Classify([]model.Frame{server, main}, nil), "it needs uvloop")

	poll := model.Frame{Function: "EpollSelector.select", File: "/usr/lib/python3.12/selectors.py"}
	assert.Equal(t, eventloop.Verdict{Root: -1}, eventloop.Classify([]model.Frame{poll, server, main}, uvloop), "this waits itself")
	program := model.Frame{Function: "main", File: "/srv/app.py"}
	assert.Equal(t, eventloop.Verdict{Kind: eventloop.UVLoop, AtRest: true, Root: -1}, eventloop.Classify([]model.Frame{program, main}, uvloop))

	begin := model.Frame{Function: "BaseProcess._bootstrap", File: "/usr/lib/python3.12/multiprocessing/process.py"}
	assert.Equal(t, may, eventloop.Classify([]model.Frame{server, begin, main}, uvloop), "spawned")
	loop := model.Frame{Function: "BaseEventLoop.run_forever", File: "/usr/lib/python3.12/asyncio/base_events.py"}
	assert.Equal(t, eventloop.Verdict{Root: -1, Kind: eventloop.UVLoop, Forked: true}, eventloop.Classify([]model.Frame{server, begin, loop, main}, uvloop),
		"the loop that asyncio knows may be the parent's")
}

// TestWorkerOfGevent: a thread of gevent's pool runs no hub.
func TestWorkerOfGevent(t *testing.T) {
	gevent := files{"/usr/lib/python3/dist-packages/gevent/_gevent_cgreenlet.cpython-311-x86_64-linux-gnu.so"}
	stack := []model.Frame{
		{Function: "Queue.get", File: "/usr/lib/python3/dist-packages/gevent/_threading.py"},
		{Function: "_WorkerGreenlet.run", File: "/usr/lib/python3/dist-packages/gevent/threadpool.py"},
	}
	assert.Equal(t, eventloop.Verdict{Root: -1}, eventloop.Classify(stack, gevent))
	assert.True(t, eventloop.Classify(stack[:1], gevent).Detached)
}

func TestPackage(t *testing.T) {
	for file, want := range map[string][2]string{
		"/usr/lib/python3/dist-packages/shop/views.py":                  {"shop", "/usr/lib/python3/dist-packages"},
		"/opt/venv/lib/python3.12/site-packages/six.py":                 {"six", "/opt/venv/lib/python3.12/site-packages"},
		"/opt/venv/lib/python3.12/site-packages/a/site-packages/b/c.py": {"b", "/opt/venv/lib/python3.12/site-packages/a/site-packages"},
		"/srv/requests-2.31.whl/requests/api.py":                        {"requests", "/srv/requests-2.31.whl"},
		"/srv/app.py":                                                   {},
		"/usr/lib/python3.12/json/encoder.py":                           {},
		"site-packages/shop/views.py":                                   {"shop", "site-packages"},
		"":                                                              {},
		"<string>":                                                      {},
	} {
		name, dir := eventloop.Package(file)
		assert.Equal(t, want, [2]string{name, dir}, file)
	}
}

// Where no application's frame is known inside the loop, the package that the frameworks called is to blame.
func TestCulpritOfInstalledPackages(t *testing.T) {
	in := func(file string, line int) model.Frame {
		return model.Frame{Function: "f", File: "/opt/venv/lib/python3.12/site-packages/" + file, Line: line}
	}
	sleep := model.Frame{Function: "f", File: "/usr/lib/python3.12/socket.py", Line: 9}
	queue := model.Frame{Function: "f", File: "/usr/lib/python3.12/contextlib.py", Line: 8}
	handle := model.Frame{Function: "Handle._run", File: "/usr/lib/python3.12/asyncio/events.py", Line: 7}
	inside := []model.Frame{sleep, in("requests/api.py", 1), in("shop/prices.py", 2), in("shop/views.py", 3), in("starlette/routing.py", 4), in("uvicorn/protocols/http.py", 5), queue, handle}
	assert.Equal(t, &inside[2], eventloop.Culprit(inside))
	inside = []model.Frame{sleep, in("uvicorn/protocols/http.py", 5), queue, handle}
	assert.Equal(t, &inside[0], eventloop.Culprit(inside), "frameworks alone: as before")
	inside = []model.Frame{sleep, in("shop/views.py", 1), in("flask_login/utils.py", 2), in("prometheus_client/decorator.py", 3), in("flask/app.py", 4)}
	assert.Equal(t, &inside[1], eventloop.Culprit(inside), "an extension of the framework stands between")
	inside = []model.Frame{sleep, in("flask_shop/views.py", 1), in("flask/app.py", 4)}
	assert.Equal(t, &inside[1], eventloop.Culprit(inside), "or it is the application")
	inside = []model.Frame{sleep, in("requests/api.py", 1), handle}
	assert.Equal(t, &inside[1], eventloop.Culprit(inside))
}
