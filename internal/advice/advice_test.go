// SPDX-License-Identifier: Apache-2.0

package advice

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/loopwatch/loopwatch/internal/report"
)

const (
	std  = "/usr/lib/python3.11/"
	dist = "/usr/lib/python3/dist-packages/"
	site = "/srv/venv/lib/python3.12/site-packages/"
)

// stack has the application's line as its root, the files given inside it.
func stack(files ...string) []report.Frame {
	var out []report.Frame
	for _, f := range files {
		file, function, _ := strings.Cut(f, " ")
		out = append(out, report.Frame{Function: function, File: file})
	}
	out = append(out, report.Frame{Function: "handler", File: "/srv/app.py", Line: 3, App: true})
	// What called the application is no evidence.
	return append(out, report.Frame{Function: "run", File: dist + "redis/never.py"})
}

func TestFor(t *testing.T) {
	for _, test := range []struct {
		what   string
		b      report.Blocker
		kind   string
		phrase string // "": no advice
	}{
		{"time.sleep", report.Blocker{Cause: report.CauseSleep, Stack: stack()}, "asyncio", "asyncio.sleep"},
		{"a library's sleep", report.Blocker{Cause: report.CauseSleep, Stack: stack(site + "tenacity/nap.py sleep")}, "asyncio", ""},
		{"requests", report.Blocker{Cause: report.CauseNet, Stack: stack(std+"socket.py SocketIO.readinto", dist+"urllib3/connection.py f", dist+"requests/api.py get")}, "uvloop", "httpx"},
		{"a name, in requests", report.Blocker{Cause: report.CauseDNS, Stack: stack(std+"socket.py getaddrinfo", dist+"requests/api.py get")}, "asyncio", "httpx"},
		{"a name", report.Blocker{Cause: report.CauseDNS, Stack: stack(std + "socket.py getaddrinfo")}, "asyncio", "loop.getaddrinfo"},
		{"boto3", report.Blocker{Cause: report.CauseNet, Stack: stack(site+"urllib3/x.py f", site+"botocore/endpoint.py f", site+"boto3/x.py f")}, "asyncio", "aioboto3"},
		{"psycopg2, in C", report.Blocker{Cause: report.CauseNet, Stack: stack(), Detail: report.Detail{Target: "tcp 127.0.0.1:5432"}}, "asyncio", "asyncpg"},
		{"PostgreSQL's port in IPv6", report.Blocker{Cause: report.CauseNet, Stack: stack(), Detail: report.Detail{Target: "tcp [::1]:5432"}}, "asyncio", "asyncpg"},
		{"pymysql", report.Blocker{Cause: report.CauseNet, Stack: stack(dist + "pymysql/connections.py _read_bytes")}, "asyncio", "aiomysql"},
		{"redis", report.Blocker{Cause: report.CauseNet, Stack: stack(dist + "redis/connection.py read")}, "asyncio", "redis.asyncio"},
		{"a socket", report.Blocker{Cause: report.CauseNet, Stack: stack()}, "trio", "trio.to_thread.run_sync"},
		{"a loop not known", report.Blocker{Cause: report.CauseNet, Stack: stack()}, "unknown", ""},
		{"logging to a full pipe", report.Blocker{Cause: report.CausePipe, Stack: stack(std + "logging/__init__.py StreamHandler.flush")}, "asyncio", "QueueHandler"},
		{"the lock of a handler", report.Blocker{Cause: report.CauseLock, Stack: stack(std + "logging/__init__.py Handler.acquire")}, "asyncio", "QueueHandler"},
		{"a lock", report.Blocker{Cause: report.CauseLock, Stack: stack()}, "asyncio", "asyncio.Lock"},
		{"a context", report.Blocker{Cause: report.CauseCPU, Stack: stack(std + "ssl.py create_default_context")}, "asyncio", "SSL context"},
		{"a file", report.Blocker{Cause: report.CauseFile, Stack: stack()}, "twisted", "deferToThread"},
		{"sqlite", report.Blocker{Cause: report.CauseFile, Stack: stack(std + "sqlite3/dbapi2.py f")}, "asyncio", "aiosqlite"},
		{"a child", report.Blocker{Cause: report.CauseSubprocess, Stack: stack(std + "subprocess.py Popen._execute_child")}, "asyncio", "create_subprocess_exec"},
		{"an import", report.Blocker{Cause: report.CauseImport, Stack: stack("<frozen importlib._bootstrap> _find_and_load")}, "gevent", "when the program starts"},
		{"a collection", report.Blocker{Cause: report.CauseGC, Stack: stack()}, "asyncio", "gc.freeze"},
		{"json", report.Blocker{Cause: report.CauseCPU, Stack: stack(std + "json/encoder.py iterencode"), Detail: report.Detail{GIL: report.GILHeld}}, "asyncio", "pieces"},
		{"json in C", report.Blocker{Cause: report.CauseNative, Stack: stack(), Detail: report.Detail{Native: "_json.cpython-311-x86_64-linux-gnu.so", GIL: report.GILHeld}}, "asyncio", "pieces"},
		{"re", report.Blocker{Cause: report.CauseCPU, Stack: stack(std + "re/__init__.py match"), Detail: report.Detail{GIL: report.GILHeld}}, "asyncio", "pattern"},
		{"bcrypt", report.Blocker{Cause: report.CauseNative, Stack: stack(), Detail: report.Detail{Native: "_bcrypt.abi3.so", GIL: report.GILReleased}}, "asyncio", "A thread is enough (asyncio.to_thread)"},
		{"pandas", report.Blocker{Cause: report.CauseNative, Stack: stack(dist + "pandas/core/frame.py sort"), Detail: report.Detail{GIL: report.GILHeld}}, "asyncio", "process pool"},
		{"native code, the GIL not seen", report.Blocker{Cause: report.CauseNative, Stack: stack()}, "asyncio", ""},
		{"Python", report.Blocker{Cause: report.CauseCPU, Stack: stack()}, "asyncio", "process pool"},
		{"another's GIL", report.Blocker{Cause: report.CauseGIL}, "asyncio", "another process"},
		{"a quota", report.Blocker{Cause: report.CauseThrottled}, "asyncio", "quota"},
		{"a full host", report.Blocker{Cause: report.CauseRunqueue}, "asyncio", "no line"},
		{"a stop", report.Blocker{Cause: report.CauseStopped}, "asyncio", "who stops it"},
		{"not known", report.Blocker{Cause: report.CauseUnknown, Stack: stack(dist + "requests/api.py get")}, "asyncio", ""},
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
	r := report.Report{
		Loops: []report.Loop{{PID: 1, TID: 1, Loop: "asyncio"}, {PID: 2, TID: 2, Loop: "uvloop"}, {PID: 3, TID: 3, Loop: "trio"}},
		Blockers: []report.Blocker{
			{Cause: report.CauseFile, Loops: []report.LoopID{{PID: 1, TID: 1}, {PID: 2, TID: 2}}},
			{Cause: report.CauseFile, Loops: []report.LoopID{{PID: 1, TID: 1}, {PID: 3, TID: 3}, {PID: 2, TID: 2}}},
			{Cause: report.CauseThrottled, Loops: []report.LoopID{{PID: 1, TID: 1}, {PID: 3, TID: 3}}},
			{Cause: report.CauseUnknown, Loops: []report.LoopID{{PID: 1, TID: 1}}},
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
		assert.NotEmpty(t, r.causes, i)
		assert.NotEmpty(t, r.asyncio, i)
		for _, text := range []string{r.asyncio, r.other} {
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
