// SPDX-License-Identifier: Apache-2.0

package advice

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/loopwatch/loopwatch/internal/model"
)

const (
	std  = "/usr/lib/python3.11/"
	dist = "/usr/lib/python3/dist-packages/"
	site = "/srv/venv/lib/python3.12/site-packages/"
)

// stack has the application's line as its root, the files given inside it.
func stack(files ...string) []model.Frame {
	var out []model.Frame
	for _, f := range files {
		file, function, _ := strings.Cut(f, " ")
		out = append(out, model.Frame{Function: function, File: file})
	}
	out = append(out, model.Frame{Function: "handler", File: "/srv/app.py", Line: 3, App: true})
	// What called the application is no evidence.
	return append(out, model.Frame{Function: "run", File: dist + "redis/never.py"})
}

func TestFor(t *testing.T) {
	for _, test := range []struct {
		what   string
		b      model.Blocker
		kind   string
		phrase string // "": no advice
	}{
		{"time.sleep", model.Blocker{Cause: model.CauseSleep, Stack: stack()}, "asyncio", "asyncio.sleep"},
		{"a library's sleep", model.Blocker{Cause: model.CauseSleep, Stack: stack(site + "tenacity/nap.py sleep")}, "asyncio", "run the call in a thread"},
		{"requests", model.Blocker{Cause: model.CauseNet, Stack: stack(std+"socket.py SocketIO.readinto", dist+"urllib3/connection.py f", dist+"requests/api.py get")}, "uvloop", "httpx"},
		{"a name, in requests", model.Blocker{Cause: model.CauseDNS, Stack: stack(std+"socket.py getaddrinfo", dist+"requests/api.py get")}, "asyncio", "httpx"},
		{"a name", model.Blocker{Cause: model.CauseDNS, Stack: stack(std + "socket.py getaddrinfo")}, "asyncio", "loop.getaddrinfo"},
		{"boto3", model.Blocker{Cause: model.CauseNet, Stack: stack(site+"urllib3/x.py f", site+"botocore/endpoint.py f", site+"boto3/x.py f")}, "asyncio", "aioboto3"},
		{"psycopg2, in C", model.Blocker{Cause: model.CauseNet, Stack: stack(), Detail: model.Detail{Target: "tcp 127.0.0.1:5432"}}, "asyncio", "asyncpg"},
		{"PostgreSQL's port in IPv6", model.Blocker{Cause: model.CauseNet, Stack: stack(), Detail: model.Detail{Target: "tcp [::1]:5432"}}, "asyncio", "asyncpg"},
		{"pymysql", model.Blocker{Cause: model.CauseNet, Stack: stack(dist + "pymysql/connections.py _read_bytes")}, "asyncio", "aiomysql"},
		{"redis", model.Blocker{Cause: model.CauseNet, Stack: stack(dist + "redis/connection.py read")}, "asyncio", "redis.asyncio"},
		{"a loop in a callback", model.Blocker{Cause: model.CauseNet, Stack: stack(std+"selectors.py EpollSelector.select", std+"asyncio/base_events.py BaseEventLoop._run_once",
			std+"asyncio/base_events.py BaseEventLoop.run_forever", std+"asyncio/base_events.py BaseEventLoop.run_until_complete", std+"asyncio/runners.py run")}, "asyncio", "use one loop for both"},
		{"a loop in another's callback", model.Blocker{Cause: model.CausePipe, Stack: stack(dist+"twisted/internet/epollreactor.py EPollReactor.doPoll",
			dist+"twisted/internet/base.py ReactorBase.mainLoop", dist+"twisted/internet/base.py ReactorBase.run")}, "twisted", "use one loop for both"},
		{"what such a loop calls", model.Blocker{Cause: model.CauseNet, Stack: stack(std+"socket.py SocketIO.readinto", std+"asyncio/events.py Handle._run", std+"asyncio/base_events.py BaseEventLoop._run_once",
			std+"asyncio/base_events.py BaseEventLoop.run_forever")}, "asyncio", "asynchronous client"},
		{"a selector", model.Blocker{Cause: model.CauseNet, Stack: stack(std + "selectors.py EpollSelector.select")}, "asyncio", "asynchronous client"},
		{"a socket", model.Blocker{Cause: model.CauseNet, Stack: stack()}, "trio", "trio.to_thread.run_sync"},
		{"a loop not known", model.Blocker{Cause: model.CauseNet, Stack: stack()}, "unknown", ""},
		{"logging to a full pipe", model.Blocker{Cause: model.CausePipe, Stack: stack(std + "logging/__init__.py StreamHandler.flush")}, "asyncio", "QueueHandler"},
		{"the lock of a handler", model.Blocker{Cause: model.CauseLock, Stack: stack(std + "logging/__init__.py Handler.acquire")}, "asyncio", "QueueHandler"},
		{"a lock", model.Blocker{Cause: model.CauseLock, Stack: stack()}, "asyncio", "asyncio.Lock"},
		{"a context", model.Blocker{Cause: model.CauseCPU, Stack: stack(std + "ssl.py create_default_context")}, "asyncio", "SSL context"},
		{"a file", model.Blocker{Cause: model.CauseFile, Stack: stack()}, "twisted", "deferToThread"},
		{"sqlite", model.Blocker{Cause: model.CauseFile, Stack: stack(std + "sqlite3/dbapi2.py f")}, "asyncio", "aiosqlite"},
		{"a child", model.Blocker{Cause: model.CauseSubprocess, Stack: stack(std + "subprocess.py Popen._execute_child")}, "asyncio", "create_subprocess_exec"},
		{"an import", model.Blocker{Cause: model.CauseImport, Stack: stack("<frozen importlib._bootstrap> _find_and_load")}, "gevent", "when the program starts"},
		{"a collection", model.Blocker{Cause: model.CauseGC, Stack: stack()}, "asyncio", "gc.freeze"},
		{"json", model.Blocker{Cause: model.CauseCPU, Stack: stack(std + "json/encoder.py iterencode"), Detail: model.Detail{GIL: model.GILHeld}}, "asyncio", "pieces"},
		{"json in C", model.Blocker{Cause: model.CauseNative, Stack: stack(), Detail: model.Detail{Native: "_json.cpython-311-x86_64-linux-gnu.so", GIL: model.GILHeld}}, "asyncio", "pieces"},
		{"re", model.Blocker{Cause: model.CauseCPU, Stack: stack(std + "re/__init__.py match"), Detail: model.Detail{GIL: model.GILHeld}}, "asyncio", "pattern"},
		{"bcrypt", model.Blocker{Cause: model.CauseNative, Stack: stack(), Detail: model.Detail{Native: "_bcrypt.abi3.so", GIL: model.GILReleased}}, "asyncio", "A thread is enough (asyncio.to_thread)"},
		{"pandas", model.Blocker{Cause: model.CauseNative, Stack: stack(dist + "pandas/core/frame.py sort"), Detail: model.Detail{GIL: model.GILHeld}}, "asyncio", "process pool"},
		{"native code, the GIL not seen", model.Blocker{Cause: model.CauseNative, Stack: stack()}, "asyncio", ""},
		{"Python", model.Blocker{Cause: model.CauseCPU, Stack: stack()}, "asyncio", "process pool"},
		{"another's GIL", model.Blocker{Cause: model.CauseGIL}, "asyncio", "another process"},
		{"a quota", model.Blocker{Cause: model.CauseThrottled}, "asyncio", "quota"},
		{"a full host", model.Blocker{Cause: model.CauseRunqueue}, "asyncio", "no line"},
		{"a stop", model.Blocker{Cause: model.CauseStopped}, "asyncio", "who stops it"},
		{"not known", model.Blocker{Cause: model.CauseUnknown, Stack: stack(dist + "requests/api.py get")}, "asyncio", ""},
	} {
		got := For(&test.b, test.kind)
		if test.phrase == "" {
			assert.Empty(t, got, test.what)
			continue
		}
		assert.Contains(t, got, test.phrase, test.what)
		assert.NotContains(t, got, "{thread}", test.what)
	}
}

func TestFill(t *testing.T) {
	r := model.Report{
		Loops: []model.Loop{{PID: 1, TID: 1, Loop: "asyncio"}, {PID: 2, TID: 2, Loop: "uvloop"}, {PID: 3, TID: 3, Loop: "trio"}},
		Blockers: []model.Blocker{
			{Cause: model.CauseFile, Loops: []model.LoopID{{PID: 1, TID: 1}, {PID: 2, TID: 2}}},
			{Cause: model.CauseFile, Loops: []model.LoopID{{PID: 1, TID: 1}, {PID: 3, TID: 3}, {PID: 2, TID: 2}}},
			{Cause: model.CauseThrottled, Loops: []model.LoopID{{PID: 1, TID: 1}, {PID: 3, TID: 3}}},
			{Cause: model.CauseUnknown, Loops: []model.LoopID{{PID: 1, TID: 1}}},
		},
	}
	Fill(&r)
	assert.Contains(t, r.Blockers[0].Advice, "asyncio.to_thread")
	assert.Empty(t, r.Blockers[1].Advice)
	assert.Contains(t, r.Blockers[2].Advice, "quota")
	assert.Empty(t, r.Blockers[3].Advice)
}

// Every row can be reached, is one sentence, and fits a line or two.
func TestRules(t *testing.T) {
	for i, r := range rules {
		assert.NotEmpty(t, append(r.causes, r.during), i)
		assert.NotEqual(t, r.all == "", r.asyncio == "", "%d: one text for all, or one for asyncio", i)
		for _, text := range []string{r.all, r.asyncio, r.other} {
			assert.LessOrEqual(t, len(text), 160, text)
			if text != "" {
				assert.True(t, strings.HasSuffix(text, "."), text)
			}
		}
	}
}

func TestLibrary(t *testing.T) {
	for file, want := range map[string]string{
		"/usr/lib/python3/dist-packages/requests/api.py": "requests", "/usr/lib/python3.11/json/decoder.py": "json",
		"/usr/lib/python3.11/subprocess.py": "subprocess", "<frozen importlib._bootstrap_external>": "importlib",
		"/srv/app.py": "", "": "", "/python3.": "", "<string>": "", "/x/site-packages/": "",
	} {
		assert.Equal(t, want, library(file), file)
	}
}
