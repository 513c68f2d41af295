// SPDX-License-Identifier: Apache-2.0

package reporttest

import (
	"fmt"
	"time"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/summary"
)

// Example is a small report with some of everything, which the golden files of the text are of.
func Example() *model.Report {
	const lib = "/usr/lib/python3/dist-packages/"
	culprit := model.Frame{Function: "Handler.get", File: "/srv/app/handlers.py", Line: 42, App: true}
	backend := model.Frame{Function: "fetch_prices", File: "/srv/app/backend.py", Line: 17, App: true}
	root := []model.Frame{
		{Function: "RequestHandler._handle_request", File: lib + "aiohttp/web_protocol.py", Line: 433},
		{Function: "RequestHandler.start", File: lib + "aiohttp/web_protocol.py", Line: 504},
		{Function: "Handle._run", File: "/usr/lib/python3.11/asyncio/events.py", Line: 80},
		{Function: "BaseEventLoop._run_once", File: "/usr/lib/python3.11/asyncio/base_events.py", Line: 1922},
		{Function: "<module>", File: "/srv/app/main.py", Line: 9, App: true},
	}
	sleepStack := append([]model.Frame{culprit}, root...)
	netStack := append([]model.Frame{
		{Function: "SocketIO.readinto", File: "/usr/lib/python3.11/socket.py", Line: 706},
		{Function: "HTTPResponse.begin", File: "/usr/lib/python3.11/http/client.py", Line: 318},
		{Function: "HTTPConnectionPool.urlopen", File: lib + "urllib3/connectionpool.py", Line: 700},
		{Function: "Session.send", File: lib + "requests/sessions.py", Line: 701},
		{Function: "get", File: lib + "requests/api.py", Line: 73},
		backend,
	}, root...)
	fd := 7
	var blocks []model.Block
	for i := range 9 {
		d := 300*ms + int64(i)*ms
		blocks = append(blocks, model.Block{PID: 1234, TID: 1234, StartNS: int64(i+1) * 1000 * ms, DurationNS: d,
			Cause: model.CauseSleep, BreakdownNS: map[model.Cause]int64{model.CauseSleep: d}, Culprit: &culprit, Leaf: &culprit, Task: fmt.Sprintf("Task-%d", 10*i),
			Stacks: []model.Stack{{NS: d, Cause: model.CauseSleep, Frames: sleepStack}}, Detail: model.Detail{Syscall: "clock_nanosleep"}})
	}
	blocks = append(blocks,
		model.Block{PID: 1234, TID: 1240, StartNS: 2500 * ms, DurationNS: 1812 * ms, Cause: model.CauseNet, Culprit: &backend, Task: "refresh of all prices of the catalogue",
			Leaf: &netStack[0], Stacks: []model.Stack{{NS: 1812 * ms, Cause: model.CauseNet, Frames: netStack}},
			BreakdownNS: map[model.Cause]int64{model.CauseNet: 1500 * ms, model.CauseCPU: 302 * ms, model.CauseRunqueue: 10 * ms}, Delayed: &model.Delayed{Events: 31, MaxNS: 1700 * ms, By: []model.DelayedBy{{Target: "tcp 10.0.0.5:8080", Events: 24}, {Target: "unix /run/shop/admin.sock", Events: 5}, {Target: "wakeup", Events: 1}, {Target: "timer", Events: 1}}},
			Detail: model.Detail{Syscall: "recvfrom", FD: &fd, Target: "tcp 127.0.0.1:8081", GIL: model.GILReleased}},
		model.Block{PID: 77, TID: 77, StartNS: 9000 * ms, DurationNS: 120 * ms, Cause: model.CauseRunqueue,
			Stacks: []model.Stack{{NS: 120 * ms, Cause: model.CauseRunqueue, Frames: sleepStack}}},
		model.Block{PID: 500, TID: 500, DurationNS: 312 * ms, AtLeast: true, Cause: model.CauseFile, Culprit: &model.Frame{Function: "load", File: "/srv/app/load.py", Line: 5, App: true},
			Stacks: []model.Stack{{NS: 312 * ms, Cause: model.CauseFile, Frames: []model.Frame{{Function: "load", File: "/srv/app/load.py", Line: 5, App: true}}}}, Detail: model.Detail{Syscall: "read", Target: "/srv/data.csv"}},
		model.Block{PID: 77, TID: 77, StartNS: 9500 * ms, DurationNS: 500 * ms, Ongoing: true, Cause: model.CauseGIL,
			Detail: model.Detail{Holder: &model.Holder{TID: 99, Thread: "worker", Frames: []model.Frame{{Function: "crunch", File: "/srv/app/work.py", Line: 3, App: true}}}}})
	return summary.Assemble(summary.Meta{
		StartedAt: time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC), EndedNS: 10_000 * ms, ThresholdNS: 100 * ms, Processes: 4,
		Host:        model.Host{Hostname: "web1", Kernel: "6.1.0-18-amd64", Arch: "amd64", Attach: "fentry"},
		Lost:        model.Lost{Events: 2, Stacks: 1, Reasons: map[string]int64{"records_lost_ring_full": 2, "code_objects_unreadable": 1}},
		Unsupported: []model.Unsupported{{PID: 4321, Command: "/opt/old/bin/python3.7 /srv/legacy.py", Reason: "CPython 3.7 is older than 3.8"}},
	}, []model.Loop{
		{PID: 1234, TID: 1234, Command: "/usr/bin/python3 -X dev /usr/bin/uvicorn app:app --workers 4", Python: "3.11.2", Loop: "asyncio",
			Unit: "web.service", Iterations: 12345, IdleNS: 7000 * ms, ActiveNS: 3000 * ms, IterationNS: model.Percentiles{P50: 41_000, P90: 90_000, P99: 301 * ms, Max: 308 * ms},
			ReadyDelayNS: &model.Percentiles{P50: 62_000, P90: 410_000, P99: 205 * ms, Max: 307 * ms}},
		{PID: 1234, TID: 1240, Command: "/usr/bin/python3 -X dev /usr/bin/uvicorn app:app --workers 4", Python: "3.11.2", Loop: "uvloop",
			Iterations: 12, IdleNS: 8100 * ms, ActiveNS: 1900 * ms, IterationNS: model.Percentiles{P50: 41_000, P90: 90_000, P99: 1812 * ms, Max: 1812 * ms}},
		{PID: 77, TID: 77, Command: "python3 -m crunch", Python: "3.13.5", Loop: "trio", Iterations: 3, IdleNS: 9500 * ms, ActiveNS: 500 * ms},
		{PID: 500, TID: 500, Command: "gunicorn: worker [shop]", Python: "3.9.2", Loop: "tornado", Iterations: 99_000_000, IdleNS: 9999 * ms, ActiveNS: ms},
	}, blocks)
}
