// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/test/judge"
)

// project is a program that people use, with an application of the test's in its own extension point.
type project struct {
	name   string
	needs  []string // modules
	source string   // below testdata/projects
	// installed says that the application lies in site-packages, as pip puts it there; else in the directory the program is
	// started in.
	installed bool
	entry     string   // of the script that command begins with, "" for an interpreter
	command   []string // PORT and DIR in it are filled in
	env       []string
	loop      string
	usual     []request // nothing of it blocks; the first is made until it succeeds
	planted   []request // every one blocks
	causes    []model.Cause
}

// projects are they. What an entry calls is what the script in bin/ of that package calls.
var projects = []project{
	{name: "uvicorn", needs: []string{"uvicorn", "starlette"}, source: "starlette", installed: true, loop: "uvloop",
		entry: "uvicorn.main:main", command: []string{"uvicorn", "shop.main:app", "--port", "PORT"},
		usual: gets("/"), planted: gets("/audit", "/price"), causes: sleepAndNet},
	{name: "gunicorn with uvicorn's workers", needs: []string{"gunicorn", "uvicorn", "fastapi"}, source: "fastapi", installed: true, loop: "uvloop",
		entry: "gunicorn.app.wsgiapp:run", command: []string{"gunicorn", "shop.main:app", "-k", "uvicorn.workers.UvicornWorker", "-w", "2", "-b", "127.0.0.1:PORT"},
		usual: gets("/"), planted: gets("/me", "/sum"), causes: sleepAndCPU},
	{name: "gunicorn with gevent", needs: []string{"gunicorn", "gevent", "flask"}, source: "gevent", installed: true, loop: "gevent",
		entry: "gunicorn.app.wsgiapp:run", command: []string{"gunicorn", "shop.wsgi:app", "-k", "gevent", "-b", "127.0.0.1:PORT"},
		usual: gets("/"), planted: gets("/throttled", "/sum"), causes: sleepAndCPU},
	{name: "gunicorn with eventlet", needs: []string{"gunicorn", "eventlet", "flask"}, source: "gevent", installed: true, loop: "eventlet",
		entry: "gunicorn.app.wsgiapp:run", command: []string{"gunicorn", "-c", "DIR/gunicorn.conf.py", "-b", "127.0.0.1:PORT"},
		usual: gets("/"), planted: gets("/throttled", "/sum"), causes: sleepAndCPU},
	{name: "hypercorn", needs: []string{"hypercorn", "quart"}, source: "quart", installed: true, loop: "asyncio",
		entry: "hypercorn.__main__:main", command: []string{"hypercorn", "shop.web:app", "-b", "127.0.0.1:PORT"},
		usual: gets("/"), planted: append(gets("/private"), says("/ws", "block")), causes: sleepAndNet},
	{name: "hypercorn on uvloop", needs: []string{"hypercorn", "uvloop", "starlette"}, source: "starlette", installed: true, loop: "uvloop",
		entry: "hypercorn.__main__:main", command: []string{"hypercorn", "-k", "uvloop", "shop.main:app", "-b", "127.0.0.1:PORT"},
		usual: gets("/"), planted: gets("/audit", "/price"), causes: sleepAndNet},
	{name: "hypercorn on trio", needs: []string{"hypercorn", "trio", "starlette"}, source: "starlette", installed: true, loop: "trio",
		entry: "hypercorn.__main__:main", command: []string{"hypercorn", "-k", "trio", "shop.main:app", "-b", "127.0.0.1:PORT"},
		usual: gets("/"), planted: gets("/audit", "/price"), causes: sleepAndNet},
	{name: "daphne with Channels", needs: []string{"daphne", "channels"}, source: "django", loop: "twisted",
		entry: "daphne.cli:CommandLineInterface.entrypoint", command: []string{"daphne", "-b", "127.0.0.1", "-p", "PORT", "asgi:application"},
		usual: gets("/"), planted: append(gets("/slow", "/report"), says("/chat", "block")), causes: sleepAndCPU},
	{name: "celery with gevent", needs: []string{"celery", "gevent"}, source: "celery", installed: true, loop: "gevent",
		entry: "celery.__main__:main", command: []string{"celery", "-A", "shop.tasks", "worker", "-P", "gevent", "-c", "4"},
		usual: []request{sends("greet")}, planted: []request{sends("resize"), sends("total")}, causes: sleepAndCPU},
	{name: "celery with eventlet", needs: []string{"celery", "eventlet"}, source: "celery", installed: true, loop: "eventlet",
		entry: "celery.__main__:main", command: []string{"celery", "-A", "shop.tasks", "worker", "-P", "eventlet", "-c", "4"},
		usual: []request{sends("greet")}, planted: []request{sends("resize", "total")}, causes: sleepAndCPU}, // often in one period
	{name: "scrapy", needs: []string{"scrapy"}, source: "scrapy", loop: "twisted",
		entry: "scrapy.cmdline:execute", command: []string{"scrapy", "crawl", "shop"},
		usual: []request{crawls("")}, planted: []request{crawls("nap"), crawls("sum")}, causes: sleepAndCPU},
	{name: "jupyter-server", needs: []string{"jupyter_server"}, source: "jupyter", installed: true, loop: "tornado",
		entry: "jupyter_server.serverapp:main", command: []string{"jupyter-server", "--allow-root", "--no-browser", "--ServerApp.ip=127.0.0.1",
			"--ServerApp.port=PORT", "--ServerApp.token=", "--ServerApp.jpserver_extensions=shop=True"},
		usual: gets("/api"), planted: gets("/shop/prices", "/shop/nap"), causes: sleepAndNet},
	{name: "mitmdump", needs: []string{"mitmproxy"}, source: "mitmproxy", loop: "asyncio",
		entry: "mitmproxy.tools.main:mitmdump", command: []string{"mitmdump", "-q", "-s", "DIR/app/rewrite.py", "--listen-port", "PORT", "--listen-host", "127.0.0.1"},
		usual: []request{proxies("")}, planted: []request{proxies("nap"), proxies("sum")}, causes: sleepAndCPU},
	{name: "dask-scheduler", needs: []string{"distributed"}, source: "dask", installed: true, loop: "asyncio",
		entry: "distributed.cli.dask_scheduler:main", command: []string{"dask-scheduler", "--host", "127.0.0.1", "--port", "PORT", "--no-dashboard", "--preload", "shop.plugins"},
		usual: []request{connects}, planted: []request{logs(2)}, causes: sleepAlone},
	{name: "pytest", needs: []string{"pytest_asyncio", "pytest_aiohttp"}, source: "pytest", loop: "asyncio",
		entry: "pytest:console_main", command: []string{"pytest", "-p", "no:cacheprovider", "--asyncio-mode=auto", "test_shop.py"},
		usual: []request{outputs("collected")}, planted: []request{logs(4)}, causes: sleepAndCPU},
	{name: "aiosmtpd", needs: []string{"aiosmtpd"}, source: "aiosmtpd", installed: true, loop: "asyncio",
		entry: "aiosmtpd.main:main", command: []string{"aiosmtpd", "-n", "-l", "127.0.0.1:PORT", "-c", "shop.mail.Handler"},
		usual: []request{mails("me", "hello")}, planted: []request{mails("slow", "hello"), mails("me", "block")}, causes: sleepAndNet},
	{name: "tornado", needs: []string{"tornado"}, source: "tornado", loop: "tornado",
		command: []string{"python3", "server.py", "PORT"},
		usual:   gets("/"), planted: gets("/nap", "/rows"), causes: sleepAndCPU},
	{name: "aiohttp.web", needs: []string{"aiohttp"}, source: "aiohttp", installed: true, loop: "asyncio",
		command: []string{"python3", "-m", "aiohttp.web", "-H", "127.0.0.1", "-P", "PORT", "shop.main:make_app"},
		usual:   gets("/"), planted: gets("/audit", "/nap"), causes: sleepAndNet},
	{name: "twistd with a plugin", needs: []string{"twisted"}, source: "twisted", installed: true, loop: "twisted",
		entry: "twisted.scripts.twistd:run", command: []string{"twistd3", "-n", "--pidfile=", "shop", "-p", "PORT"},
		usual: gets("/"), planted: gets("/nap", "/price"), causes: sleepAndNet},
	{name: "websockets under debugpy", needs: []string{"debugpy", "websockets"}, source: "websockets", loop: "asyncio",
		command: []string{"python3", "-m", "debugpy", "--listen", "127.0.0.1:0", "server.py", "PORT"},
		usual:   []request{says("/", "hello")}, planted: []request{says("/", "block"), says("/", "block")}, causes: sleepAlone},
	{name: "trio-websocket under coverage", needs: []string{"coverage", "trio_websocket"}, source: "trio", loop: "trio",
		entry: "coverage.cmdline:main", command: []string{"python3-coverage", "run", "server.py", "PORT"},
		usual: []request{says("/", "hello")}, planted: []request{says("/", "block"), says("/", "block")}, causes: sleepAlone},
	{name: "python-socketio", needs: []string{"socketio", "aiohttp"}, source: "socketio", loop: "asyncio",
		command: []string{"python3", "app.py", "PORT"},
		usual:   gets("/"), planted: []request{says("/socket.io/?EIO=4&transport=websocket", "40")}, causes: sleepAlone},
}

// What is planted in a project.
var (
	sleepAlone  = []model.Cause{model.CauseSleep}
	sleepAndNet = []model.Cause{model.CauseNet, model.CauseSleep}
	sleepAndCPU = []model.Cause{model.CauseCPU, model.CauseSleep}
)

// plantedBlock is a line of what planted.py writes.
type plantedBlock struct {
	PID      int           `json:"pid"`
	TID      int           `json:"tid"`
	StartNS  int64         `json:"start_ns"`
	EndNS    int64         `json:"end_ns"`
	Function string        `json:"function"`
	File     string        `json:"file"`
	Lines    []int         `json:"lines"`
	Causes   []model.Cause `json:"causes"`
}

// TestProjects: of programs that nobody made for this test, started as their users start them, what was planted is found at
// its line, and nothing else.
func TestProjects(t *testing.T) {
	h := newHost(t)
	var all []*startedProject
	installed := h.installed(t)
	for _, p := range projects {
		missing := slices.DeleteFunc(slices.Clone(p.needs), func(module string) bool { return installed[module] })
		switch {
		case len(missing) == 0:
			all = append(all, h.start(t, p))
		case os.Getenv("CI") != "": // .ci/run sets it
			t.Errorf("%s: no module %v: .ci/deps test", p.name, missing)
		default:
			t.Logf("%s is left out: no module %v: .ci/deps test", p.name, missing)
		}
	}
	if len(all) == 0 {
		t.Skip("none of the projects is installed: .ci/deps test")
	}
	for _, p := range all {
		p.await(t)
	}
	time.Sleep(2 * settling) // other workers may still be starting

	w := watch(t, "--duration", "1h")
	h.watched(t)
	time.Sleep(2 * time.Second) // at rest
	var asked sync.WaitGroup
	for _, p := range all {
		asked.Go(func() { p.ask(t) })
	}
	asked.Wait()
	time.Sleep(settling)
	for _, p := range all {
		p.list(t)
	}
	rep := w.stop(t)
	var right, of, alarms int
	for _, p := range all {
		r, o, a := p.judge(t, rep)
		right, of, alarms = right+r, of+o, alarms+a
	}
	t.Logf("%d projects: %d of %d planted blocks named right, %d false alarms", len(all), right, of, alarms)
}

// await waits until the project serves.
func (p *startedProject) await(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		err := p.usual[0](p)
		if err == nil {
			return
		}
		require.False(t, p.ended(), "%s has ended\n%s", p.name, p.said())
		require.True(t, time.Now().Before(end), "%s does not serve: %v\n%s", p.name, err, p.said())
	}
}

// ask makes the usual requests and those that block.
func (p *startedProject) ask(t *testing.T) {
	for n, r := range slices.Concat(p.usual, p.usual, p.project.planted) {
		assert.NoError(t, r(p), "%s: request %d\n%s", p.name, n, p.said())
		time.Sleep(usualThreshold()) // of several in one period each is a block, and they may be told apart badly
	}
}

// judge holds a report against what was planted. A machine without a CPU for the loop is no fault of the report's.
func (p *startedProject) judge(t *testing.T, rep *model.Report) (right, of, alarms int) {
	t.Helper()
	log := p.log(t)
	var kinds []string
	for _, l := range rep.Loops {
		if slices.Contains(p.pids, l.PID) && !slices.Contains(kinds, l.Loop) {
			kinds = append(kinds, l.Loop)
		}
	}
	assert.Equal(t, []string{p.loop}, kinds, "%s: kinds of its loops", p.name)
	var blocks []model.Block
	for _, b := range rep.Blocks {
		if slices.Contains(p.pids, b.PID) {
			blocks = append(blocks, b)
		}
	}
	var planted []model.Cause
	for _, said := range log {
		of++
		planted = append(planted, said.Causes...)
		n := slices.IndexFunc(blocks, func(b model.Block) bool {
			return b.TID == said.TID && 2*judge.Overlap(b.StartNS, b.StartNS+b.DurationNS, said.StartNS, said.EndNS) >= said.EndNS-said.StartNS
		})
		if !assert.GreaterOrEqual(t, n, 0, "%s: missed %s of %v", p.name, said.Function, time.Duration(said.EndNS-said.StartNS)) {
			continue
		}
		b := blocks[n]
		blocks = slices.Delete(blocks, n, n+1)
		if b.Cause == model.CauseRunqueue && b.BreakdownNS[model.CauseRunqueue] > b.DurationNS/3 || said.names(t, p.name, &b) {
			right++
		}
	}
	slices.Sort(planted)
	assert.Equal(t, p.causes, slices.Compact(planted), "%s: what was planted\n%s", p.name, p.said())
	for _, b := range blocks {
		if !p.realBlock(t, &b) {
			alarms++
		}
	}
	return right, of, alarms
}

// names reports whether a block is told as it was planted.
func (said *plantedBlock) names(t *testing.T, name string, b *model.Block) bool {
	t.Helper()
	what := judge.Describe(b.Culprit) + "\n" + judge.StacksOf(b)
	if !assert.Contains(t, said.Causes, b.Cause, "%s: %s", name, what) || !assert.NotNil(t, b.Culprit, "%s: %s", name, what) {
		return false
	}
	at := assert.Equal(t, said.Function, b.Culprit.Function, "%s: %s", name, what)
	in := assert.Equal(t, said.File, b.Culprit.File, "%s: %s", name, what)
	line := assert.Contains(t, said.Lines, b.Culprit.Line, "%s: %s", name, what)
	return at && in && line
}

// realBlock reports whether a block that nobody has planted was one: the machine had no CPU for the loop or stood still, or
// the kernel's tracer saw the loop outside its wait as well and what the project did there is none of the application's.
func (p *startedProject) realBlock(t *testing.T, b *model.Block) bool {
	t.Helper()
	short := b.BreakdownNS[model.CauseRunqueue] + stalls.stalled(b.StartNS, b.StartNS+b.DurationNS)
	if b.DurationNS-short < int64(usualThreshold()) {
		return true
	}
	what := judge.Describe(b.Culprit) + "\n" + judge.StacksOf(b)
	if (b.Culprit == nil || !strings.HasPrefix(b.Culprit.File, p.dir)) && p.waits.Saw(b.TID, b.StartNS, b.StartNS+b.DurationNS) {
		t.Logf("%s blocks itself for %v by %s: %s", p.name, time.Duration(b.DurationNS), b.Cause, what)
		return true
	}
	t.Errorf("%s: false alarm: %v by %s, breakdown %v: %s", p.name, time.Duration(b.DurationNS), b.Cause, b.BreakdownNS, what)
	return false
}

// log returns what was planted and has happened.
func (p *startedProject) log(t *testing.T) (out []plantedBlock) {
	t.Helper()
	text, err := os.ReadFile(p.logFile())
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
	}
	for line := range strings.Lines(string(text)) {
		var said plantedBlock
		require.NoError(t, json.Unmarshal([]byte(line), &said))
		out = append(out, said)
	}
	return out
}
