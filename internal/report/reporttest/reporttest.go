// SPDX-License-Identifier: Apache-2.0

// Package reporttest makes the reports that writers of formats are tested with: random ones with
// every kind of gap, and ones whose strings a hostile process chose. It is used by tests only.
package reporttest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/loopwatch/loopwatch/internal/report"
)

var causes = []report.Cause{report.CauseCPU, report.CauseNet, report.CauseGIL, report.CauseGC, report.CauseRunqueue,
	report.CauseThrottled, report.CauseStopped, report.CauseUnknown, "", "new"}

// Random makes a report with every kind of gap: stacks that weigh less than their block or
// more, no stacks, no frames, causes without a stack, blocks of loops nobody listed.
func Random(seed uint64) *report.Report {
	r := rand.New(rand.NewPCG(seed, 1))
	cause := func() report.Cause { return causes[r.IntN(len(causes))] }
	var blocks []report.Block
	for range r.IntN(60) {
		b := report.Block{PID: 1 + r.IntN(3), StartNS: r.Int64N(1e10), DurationNS: r.Int64N(1e9), Cause: cause(),
			BreakdownNS: map[report.Cause]int64{cause(): r.Int64N(1e9), cause(): r.Int64N(1e9)}}
		b.TID = b.PID + r.IntN(2)
		for range r.IntN(4) {
			s := report.Stack{NS: r.Int64N(5e8) - 1e8, Cause: cause()}
			for range r.IntN(6) {
				i := r.IntN(5)
				s.Frames = append(s.Frames, report.Frame{Function: fmt.Sprint("f", i), File: "/srv/app.py", Line: i - 1, App: i > 2})
			}
			b.Stacks = append(b.Stacks, s)
		}
		blocks = append(blocks, b)
	}
	return report.Assemble(report.Meta{StartedAt: time.Unix(1e9, 0).UTC(), EndedNS: 1e10, ThresholdNS: 1e8},
		[]report.Loop{{PID: 1, TID: 1, Command: "python3 app.py", Loop: "asyncio"}, {PID: 2, TID: 3, Command: "worker", Loop: "uvloop"}}, blocks)
}

// Hostile puts s wherever a watched process could.
func Hostile(s string) *report.Report {
	f := report.Frame{Function: s, File: s, Line: 1, App: true}
	g := report.Frame{Function: s}
	blocks := []report.Block{
		{PID: 1, TID: 2, DurationNS: 7, Task: s, Cause: report.Cause(s), Culprit: &f, Leaf: &f,
			Stacks: []report.Stack{{NS: 3, Cause: report.Cause(s), Frames: []report.Frame{f, g, f}}, {NS: 3, Frames: []report.Frame{g, f}}}},
		{PID: 1, TID: 1, DurationNS: 5, Stacks: []report.Stack{{NS: 5, Frames: []report.Frame{f}}}},
	}
	r := report.Assemble(report.Meta{EndedNS: 1, Host: report.Host{Hostname: s, Kernel: s, Arch: s, Attach: s},
		Lost: report.Lost{Reasons: map[string]int64{s: 1}}, Unsupported: []report.Unsupported{{PID: 1, Command: s, Reason: s}}},
		[]report.Loop{{PID: 1, TID: 2}}, blocks)
	// As if nothing had bounded them.
	for i := range r.Loops {
		l := &r.Loops[i]
		l.Command, l.Python, l.Loop, l.Container, l.Unit = s, s, s, s, s
	}
	for i := range r.Blockers {
		b := &r.Blockers[i]
		b.Advice, b.Culprit, b.Stack = s, &f, []report.Frame{f, g, f}
		b.Detail = report.Detail{Syscall: s, Target: s, Native: s, Holder: &report.Holder{TID: 1, Thread: s, Frames: []report.Frame{f, g}}}
	}
	r.StartedAt, r.Blocks = s, blocks
	return r
}

// HostileNames are names a watched process could choose to do harm with.
var HostileNames = []string{"", " ", ";", "a;b", "# a", "a 42", "x\n1 2", "\x1b[31mred\x1b]0;t\a", "\u202eevil\u2066", "\x00", "\xff\xfe", "a\u2028b",
	"</script><script>alert(1)</script>", `"'<&>\`, "[no stack]", strings.Repeat("x", 1<<20), strings.Repeat("関", 1<<18), strings.Repeat("\xff", 1<<20)}

// BlockedNS is the blocked time a report lists, which every format has to add up to.
func BlockedNS(r *report.Report) (ns int64) {
	for _, b := range r.Blocks {
		ns += b.DurationNS
	}
	return ns
}

const ms = int64(time.Millisecond)

// Everything has every field of the model filled somewhere.
func Everything() *report.Report {
	const lib = "/usr/lib/python3/dist-packages/"
	loop := []report.Frame{
		{Function: "RequestHandler._handle_request", File: lib + "aiohttp/web_protocol.py", Line: 433},
		{Function: "RequestHandler.start", File: lib + "aiohttp/web_protocol.py", Line: 504},
		{Function: "Handle._run", File: "/usr/lib/python3.11/asyncio/events.py", Line: 80},
		{Function: "BaseEventLoop._run_once", File: "/usr/lib/python3.11/asyncio/base_events.py", Line: 1922},
		{Function: "BaseEventLoop.run_forever", File: "/usr/lib/python3.11/asyncio/base_events.py", Line: 607},
		{Function: "main", File: "/srv/shop/main.py", Line: 31, App: true},
		{Function: "<module>", File: "/srv/shop/main.py", Line: 40, App: true},
	}
	on := func(frames ...report.Frame) []report.Frame { return append(frames, loop...) }
	query := report.Frame{Function: "Orders.latest", File: "/srv/shop/orders/repository.py", Line: 118, App: true}
	page := report.Frame{Function: "Catalogue.render.<locals>.row", File: "/srv/shop/catalogue.py", Line: 77, App: true}
	price := report.Frame{Function: "price_of", File: "/srv/shop/prices.py", Line: 12, App: true}
	crunch := report.Frame{Function: "Recommender.fit", File: "/srv/shop/recommend.py", Line: 203, App: true}
	fd := 11
	var blocks []report.Block
	r := rand.New(rand.NewPCG(7, 7))
	for i := range 60 {
		pid := 4100 + i%4
		d := 110*ms + r.Int64N(300*ms)
		b := report.Block{PID: pid, TID: pid, StartNS: int64(i)*990*ms + r.Int64N(600*ms), DurationNS: d, Shape: report.ShapeSingle,
			Task: fmt.Sprintf("Task-%d", 20+i%9)}
		switch i % 5 {
		case 0, 1:
			leaf := report.Frame{Function: "Connection.wait", File: lib + "psycopg2/extensions.py", Line: 90}
			b.Cause, b.Culprit, b.Leaf = report.CauseNet, &query, &leaf
			b.BreakdownNS = map[report.Cause]int64{report.CauseNet: d - d/10, report.CauseCPU: d / 10}
			b.Stacks = []report.Stack{{NS: d - d/10, Cause: report.CauseNet, Frames: on(leaf, query)}, {NS: d / 10, Cause: report.CauseCPU, Frames: on(query)}}
			b.Detail = report.Detail{Syscall: "recvfrom", FD: &fd, Target: "tcp 10.3.0.7:5432", GIL: report.GILReleased}
			b.Delayed = &report.Delayed{Events: 12 + int64(i), MaxNS: d - 5*ms}
		case 2:
			b.Cause, b.Culprit, b.Leaf, b.Shape = report.CauseCPU, &page, &page, report.ShapeMany
			b.BreakdownNS = map[report.Cause]int64{report.CauseCPU: d * 6 / 10, report.CauseGC: d * 2 / 10, report.CauseNative: d - d*6/10 - d*2/10}
			b.Stacks = []report.Stack{{NS: d * 6 / 10, Cause: report.CauseCPU, Frames: on(page)}, {NS: d * 2 / 10, Cause: report.CauseGC, Frames: on(page)},
				{NS: d - d*6/10 - d*2/10, Cause: report.CauseNative, Frames: on(report.Frame{Function: "dumps", File: "/usr/lib/python3.11/json/__init__.py", Line: 231}, page)}}
			b.Detail = report.Detail{Native: "_json.cpython-311-x86_64-linux-gnu.so", GIL: report.GILHeld,
				GC: &report.GC{Count: 6, NS: 81 * ms, MaxNS: 40 * ms, Generation: 2}, Import: &report.Import{Count: 4, NS: 90 * ms, MaxNS: 70 * ms, Module: "pandas.core"}}
		case 3:
			b.Cause = report.CauseGIL
			b.BreakdownNS = map[report.Cause]int64{report.CauseGIL: d * 9 / 10, report.CauseRunqueue: d - d*9/10}
			b.Stacks = []report.Stack{{NS: d * 9 / 10, Cause: report.CauseGIL, Frames: on(price)}}
			b.Detail = report.Detail{Syscall: "futex", Holder: &report.Holder{TID: 4199, Thread: "recommender_0", Frames: []report.Frame{
				{Function: "ndarray.sort", File: lib + "numpy/core/fromnumeric.py", Line: 1010}, crunch,
				{Function: "_WorkItem.run", File: "/usr/lib/python3.11/concurrent/futures/thread.py", Line: 58}}}}
		default:
			b.Cause = report.CauseThrottled
			b.BreakdownNS = map[report.Cause]int64{report.CauseThrottled: d * 8 / 10, report.CauseCPU: d - d*8/10}
			b.Stacks = []report.Stack{{NS: d - d*8/10, Cause: report.CauseCPU, Frames: on(price)}}
		}
		blocks = append(blocks, b)
	}
	blocks[0].AtLeast = true
	blocks[len(blocks)-1].Ongoing = true
	var loops []report.Loop
	for i := range 6 {
		pid := 4100 + i
		loops = append(loops, report.Loop{PID: pid, TID: pid, Command: "gunicorn: worker [shop]", Python: "3.11.2", Loop: []string{"asyncio", "uvloop"}[i%2],
			Unit: "shop.service", Container: []string{"", "8c1f3a77d0e2"}[i%2], Iterations: 81234 * int64(i+1), IdleNS: 50_000 * ms, ActiveNS: 10_000*ms + int64(i)*ms,
			IterationNS: report.Percentiles{P50: 41_000, P90: 900_000, P99: 120 * ms, Max: 402 * ms}})
	}
	rep := report.Assemble(report.Meta{
		StartedAt: time.Date(2026, 2, 3, 4, 5, 6, 0, time.FixedZone("", 3600)), StartedNS: 0, EndedNS: 60_000 * ms, ThresholdNS: 100 * ms, Processes: 9,
		Host:        report.Host{Hostname: "shop-3", Kernel: "6.1.0-18-amd64", Arch: "amd64", Attach: "fentry"},
		Lost:        report.Lost{Events: 2, Stacks: 1, Reasons: map[string]int64{"records_lost_ring_full": 2, "code_objects_unreadable": 1}},
		Unsupported: []report.Unsupported{{PID: 4321, Command: "/opt/old/bin/python3.7 /srv/legacy.py", Reason: "CPython 3.7 is older than 3.8"}},
	}, loops, blocks)
	for i := range rep.Blockers {
		if rep.Blockers[i].Cause == report.CauseNet {
			rep.Blockers[i].Advice = "psycopg2 waits in the loop's thread: use asyncpg or psycopg's async connection, or move the call to a thread (asyncio.to_thread); the GIL was released, so a thread is enough."
		}
	}
	return rep
}

// Many is a bad hour of a large host: n blocks of 60 loops, at hundreds of places, on deep stacks.
func Many(n int) *report.Report {
	r := rand.New(rand.NewPCG(3, 3))
	var loops []report.Loop
	for i := range 60 {
		loops = append(loops, report.Loop{PID: 1000 + i, TID: 1000 + i, Command: fmt.Sprintf("/usr/bin/python3 /srv/service-%d/main.py", i%12), Python: "3.12.3",
			Loop: "asyncio", Iterations: 1e6, IdleNS: 3000_000 * ms, ActiveNS: 600_000 * ms})
	}
	var blocks []report.Block
	for range n {
		service, place := r.IntN(60), r.IntN(40)
		var stack []report.Frame
		for depth := range 18 {
			spread := place * (18 - depth) / 18 // handlers part ways as they go
			stack = append(stack, report.Frame{Function: fmt.Sprintf("Handler%d.step_%d", spread, depth), Line: 10 + spread + r.IntN(3)*max(10-depth, 0),
				File: fmt.Sprintf("/srv/service-%d/package/module_%d.py", service%12, spread), App: depth%3 == 0})
		}
		d := 100*ms + int64(r.ExpFloat64()*float64(80*ms))
		cause := []report.Cause{report.CauseNet, report.CauseCPU, report.CauseSleep, report.CauseFile, report.CauseLock}[place%5]
		blocks = append(blocks, report.Block{PID: 1000 + service, TID: 1000 + service, StartNS: r.Int64N(3600_000 * ms), DurationNS: d, Cause: cause,
			BreakdownNS: map[report.Cause]int64{cause: d}, Culprit: &stack[0], Leaf: &stack[0], Task: fmt.Sprintf("Task-%d", r.IntN(100_000)),
			Stacks: []report.Stack{{NS: d, Cause: cause, Frames: stack}}})
	}
	return report.Assemble(report.Meta{StartedAt: time.Unix(1.77e9, 0).UTC(), EndedNS: 3600_000 * ms, ThresholdNS: 100 * ms, Processes: 60,
		Host: report.Host{Hostname: "big", Kernel: "6.12.1", Arch: "amd64", Attach: "fentry"}}, loops, blocks)
}
