// SPDX-License-Identifier: Apache-2.0

// Package reporttest makes the reports that writers of formats are tested with: random ones with
// every kind of gap, and ones whose strings a hostile process chose. It is used by tests only.
package reporttest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/summary"
)

var causes = []model.Cause{model.CauseCPU, model.CauseNet, model.CauseGIL, model.CauseGC, model.CauseRunqueue,
	model.CauseThrottled, model.CauseStopped, model.CauseUnknown, "", "new"}

// Random makes a report with every kind of gap: stacks that weigh less than their block or
// more, no stacks, no frames, causes without a stack, blocks of loops nobody listed.
func Random(seed uint64) *model.Report {
	r := rand.New(rand.NewPCG(seed, 1))
	cause := func() model.Cause { return causes[r.IntN(len(causes))] }
	var blocks []model.Block
	for range r.IntN(60) {
		b := model.Block{PID: 1 + r.IntN(3), StartNS: r.Int64N(1e10), DurationNS: r.Int64N(1e9), Cause: cause(),
			BreakdownNS: map[model.Cause]int64{cause(): r.Int64N(1e9), cause(): r.Int64N(1e9)}}
		b.TID = b.PID + r.IntN(2)
		for range r.IntN(4) {
			s := model.Stack{NS: r.Int64N(5e8) - 1e8, Cause: cause()}
			for range r.IntN(6) {
				i := r.IntN(5)
				s.Frames = append(s.Frames, model.Frame{Function: fmt.Sprint("f", i), File: "/srv/app.py", Line: i - 1, App: i > 2})
			}
			b.Stacks = append(b.Stacks, s)
		}
		blocks = append(blocks, b)
	}
	return summary.Assemble(summary.Meta{StartedAt: time.Unix(1e9, 0).UTC(), EndedNS: 1e10, ThresholdNS: 1e8},
		[]model.Loop{{PID: 1, TID: 1, Command: "python3 app.py", Loop: "asyncio"}, {PID: 2, TID: 3, Command: "worker", Loop: "uvloop"}}, blocks)
}

// Hostile puts s wherever a watched process could.
func Hostile(s string) *model.Report {
	f := model.Frame{Function: s, File: s, Line: 1, App: true}
	g := model.Frame{Function: s}
	blocks := []model.Block{
		{PID: 1, TID: 2, DurationNS: 7, Delayed: &model.Delayed{Events: 4, By: []model.DelayedBy{{Target: "unix " + s, Events: 2}, {Target: s, Events: 1}}}, Task: s, Cause: model.Cause(s), Culprit: &f, Leaf: &f,
			Stacks: []model.Stack{{NS: 3, Cause: model.Cause(s), Frames: []model.Frame{f, g, f}}, {NS: 3, Frames: []model.Frame{g, f}}}},
		{PID: 1, TID: 1, DurationNS: 5, Stacks: []model.Stack{{NS: 5, Frames: []model.Frame{f}}}},
	}
	r := summary.Assemble(summary.Meta{EndedNS: 1, Host: model.Host{Hostname: s, Kernel: s, Arch: s, Attach: s},
		Lost: model.Lost{Reasons: map[string]int64{s: 1}}, Unsupported: []model.Unsupported{{PID: 1, Command: s, Reason: s}}},
		[]model.Loop{{PID: 1, TID: 2}}, blocks)
	// As if nothing had bounded them.
	for i := range r.Loops {
		l := &r.Loops[i]
		l.Command, l.Python, l.Loop, l.Container, l.Unit = s, s, s, s, s
	}
	for i := range r.Blockers {
		b := &r.Blockers[i]
		b.Advice, b.Culprit, b.Stack = s, &f, []model.Frame{f, g, f}
		b.Detail = model.Detail{Syscall: s, Target: s, Native: s, Holder: &model.Holder{TID: 1, Thread: s, Frames: []model.Frame{f, g}}}
	}
	r.StartedAt, r.Blocks = s, blocks
	return r
}

// HostileNames are names a watched process could choose to do harm with.
var HostileNames = []string{"", " ", ";", "a;b", "# a", "a 42", "x\n1 2", "\x1b[31mred\x1b]0;t\a", "\u202eevil\u2066", "\x00", "\xff\xfe", "a\u2028b",
	"</script><script>alert(1)</script>", `"'<&>\`, "[no stack]", strings.Repeat("x", 1<<20), strings.Repeat("関", 1<<18), strings.Repeat("\xff", 1<<20)}

// BlockedNS is the blocked time a report lists, which every format has to add up to.
func BlockedNS(r *model.Report) (ns int64) {
	for _, b := range r.Blocks {
		ns += b.DurationNS
	}
	return ns
}

// EveryCause makes a report with one block of each listed cause. The time of the block has no stack.
func EveryCause() *model.Report {
	var blocks []model.Block
	for i, c := range model.Causes() {
		d := 100*ms + int64(i)*ms
		b := model.Block{PID: 1, TID: 1, StartNS: int64(i) * 1000 * ms, DurationNS: d, Cause: c, BreakdownNS: map[model.Cause]int64{c: d}}
		if c.BlamesLine() {
			b.Culprit = &model.Frame{Function: "f", File: "/srv/app.py", Line: 1, App: true}
		}
		blocks = append(blocks, b)
	}
	return summary.Assemble(summary.Meta{StartedAt: time.Unix(1e9, 0).UTC(), EndedNS: 60_000 * ms, ThresholdNS: 100 * ms, Processes: 1},
		[]model.Loop{{PID: 1, TID: 1, Command: "python3 app.py", Loop: "asyncio"}}, blocks)
}

const ms = int64(time.Millisecond)

// Everything has every field of the model filled somewhere.
func Everything() *model.Report {
	const lib = "/usr/lib/python3/dist-packages/"
	loop := []model.Frame{
		{Function: "RequestHandler._handle_request", File: lib + "aiohttp/web_protocol.py", Line: 433},
		{Function: "RequestHandler.start", File: lib + "aiohttp/web_protocol.py", Line: 504},
		{Function: "Handle._run", File: "/usr/lib/python3.11/asyncio/events.py", Line: 80},
		{Function: "BaseEventLoop._run_once", File: "/usr/lib/python3.11/asyncio/base_events.py", Line: 1922},
		{Function: "BaseEventLoop.run_forever", File: "/usr/lib/python3.11/asyncio/base_events.py", Line: 607},
		{Function: "main", File: "/srv/shop/main.py", Line: 31, App: true},
		{Function: "<module>", File: "/srv/shop/main.py", Line: 40, App: true},
	}
	on := func(frames ...model.Frame) []model.Frame { return append(frames, loop...) }
	query := model.Frame{Function: "Orders.latest", File: "/srv/shop/orders/repository.py", Line: 118, App: true}
	page := model.Frame{Function: "Catalogue.render.<locals>.row", File: "/srv/shop/catalogue.py", Line: 77, App: true}
	price := model.Frame{Function: "price_of", File: "/srv/shop/prices.py", Line: 12, App: true}
	crunch := model.Frame{Function: "Recommender.fit", File: "/srv/shop/recommend.py", Line: 203, App: true}
	fd := 11
	var blocks []model.Block
	r := rand.New(rand.NewPCG(7, 7))
	for i := range 60 {
		pid := 4100 + i%4
		d := 110*ms + r.Int64N(300*ms)
		b := model.Block{PID: pid, TID: pid, StartNS: int64(i)*990*ms + r.Int64N(600*ms), DurationNS: d, Shape: model.ShapeSingle,
			Task: fmt.Sprintf("Task-%d", 20+i%9)}
		switch i % 5 {
		case 0, 1:
			leaf := model.Frame{Function: "Connection.wait", File: lib + "psycopg2/extensions.py", Line: 90}
			b.Cause, b.Culprit, b.Leaf = model.CauseNet, &query, &leaf
			b.BreakdownNS = map[model.Cause]int64{model.CauseNet: d - d/10, model.CauseCPU: d / 10}
			b.Stacks = []model.Stack{{NS: d - d/10, Cause: model.CauseNet, Frames: on(leaf, query)}, {NS: d / 10, Cause: model.CauseCPU, Frames: on(query)}}
			b.Detail = model.Detail{Syscall: "recvfrom", FD: &fd, Target: "tcp 10.3.0.7:5432", GIL: model.GILReleased}
			b.Delayed = &model.Delayed{Events: 12 + int64(i), MaxNS: d - 5*ms, By: []model.DelayedBy{{Target: "tcp 10.0.0.5:8080", Events: 10 + int64(i)}, {Target: "wakeup", Events: 2}}}
		case 2:
			b.Cause, b.Culprit, b.Leaf, b.Shape = model.CauseCPU, &page, &page, model.ShapeMany
			b.BreakdownNS = map[model.Cause]int64{model.CauseCPU: d * 6 / 10, model.CauseGC: d * 2 / 10, model.CauseNative: d - d*6/10 - d*2/10}
			b.Stacks = []model.Stack{{NS: d * 6 / 10, Cause: model.CauseCPU, Frames: on(page)}, {NS: d * 2 / 10, Cause: model.CauseGC, Frames: on(page)},
				{NS: d - d*6/10 - d*2/10, Cause: model.CauseNative, Frames: on(model.Frame{Function: "dumps", File: "/usr/lib/python3.11/json/__init__.py", Line: 231}, page)}}
			b.Detail = model.Detail{Native: "_json.cpython-311-x86_64-linux-gnu.so", GIL: model.GILHeld,
				GC: &model.GC{Count: 6, NS: 81 * ms, MaxNS: 40 * ms, Generation: 2}, Import: &model.Import{Count: 4, NS: 90 * ms, MaxNS: 70 * ms, Module: "pandas.core"}}
		case 3:
			b.Cause = model.CauseGIL
			b.BreakdownNS = map[model.Cause]int64{model.CauseGIL: d * 9 / 10, model.CauseRunqueue: d - d*9/10}
			b.Stacks = []model.Stack{{NS: d * 9 / 10, Cause: model.CauseGIL, Frames: on(price)}}
			b.Detail = model.Detail{Syscall: "futex", Holder: &model.Holder{TID: 4199, Thread: "recommender_0", Frames: []model.Frame{
				{Function: "ndarray.sort", File: lib + "numpy/core/fromnumeric.py", Line: 1010}, crunch,
				{Function: "_WorkItem.run", File: "/usr/lib/python3.11/concurrent/futures/thread.py", Line: 58}}}}
		default:
			b.Cause = model.CauseThrottled
			b.BreakdownNS = map[model.Cause]int64{model.CauseThrottled: d * 8 / 10, model.CauseCPU: d - d*8/10}
			b.Stacks = []model.Stack{{NS: d - d*8/10, Cause: model.CauseCPU, Frames: on(price)}}
		}
		blocks = append(blocks, b)
	}
	blocks[0].AtLeast = true
	blocks[len(blocks)-1].Ongoing = true
	var loops []model.Loop
	for i := range 6 {
		pid := 4100 + i
		loops = append(loops, model.Loop{PID: pid, TID: pid, Command: "gunicorn: worker [shop]", Python: "3.11.2", Loop: []string{"asyncio", "uvloop"}[i%2],
			Unit: "shop.service", Container: []string{"", "8c1f3a77d0e2"}[i%2], Iterations: 81234 * int64(i+1), IdleNS: 50_000 * ms, ActiveNS: 10_000*ms + int64(i)*ms,
			IterationNS: model.Percentiles{P50: 41_000, P90: 900_000, P99: 120 * ms, Max: 402 * ms}})
	}
	rep := summary.Assemble(summary.Meta{
		StartedAt: time.Date(2026, 2, 3, 4, 5, 6, 0, time.FixedZone("", 3600)), StartedNS: 0, EndedNS: 60_000 * ms, ThresholdNS: 100 * ms, Processes: 9,
		Host:        model.Host{Hostname: "shop-3", Kernel: "6.1.0-18-amd64", Arch: "amd64", Attach: "fentry"},
		Lost:        model.Lost{Events: 2, Stacks: 1, Reasons: map[string]int64{"records_lost_ring_full": 2, "code_objects_unreadable": 1}},
		Unsupported: []model.Unsupported{{PID: 4321, Command: "/opt/old/bin/python3.7 /srv/legacy.py", Reason: "CPython 3.7 is older than 3.8"}},
	}, loops, blocks)
	for i := range rep.Blockers {
		if rep.Blockers[i].Cause == model.CauseNet {
			rep.Blockers[i].Advice = "psycopg2 waits in the loop's thread: use asyncpg or psycopg's async connection, or move the call to a thread (asyncio.to_thread); the GIL was released, so a thread is enough."
		}
	}
	return rep
}

// Many is a bad hour of a large host: n blocks of 60 loops, at hundreds of places, on deep stacks.
func Many(n int) *model.Report {
	r := rand.New(rand.NewPCG(3, 3))
	var loops []model.Loop
	for i := range 60 {
		loops = append(loops, model.Loop{PID: 1000 + i, TID: 1000 + i, Command: fmt.Sprintf("/usr/bin/python3 /srv/service-%d/main.py", i%12), Python: "3.12.3",
			Loop: "asyncio", Iterations: 1e6, IdleNS: 3000_000 * ms, ActiveNS: 600_000 * ms})
	}
	var blocks []model.Block
	for range n {
		service, place := r.IntN(60), r.IntN(40)
		var stack []model.Frame
		for depth := range 18 {
			spread := place * (18 - depth) / 18 // handlers part ways as they go
			stack = append(stack, model.Frame{Function: fmt.Sprintf("Handler%d.step_%d", spread, depth), Line: 10 + spread + r.IntN(3)*max(10-depth, 0),
				File: fmt.Sprintf("/srv/service-%d/package/module_%d.py", service%12, spread), App: depth%3 == 0})
		}
		d := 100*ms + int64(r.ExpFloat64()*float64(80*ms))
		cause := []model.Cause{model.CauseNet, model.CauseCPU, model.CauseSleep, model.CauseFile, model.CauseLock}[place%5]
		blocks = append(blocks, model.Block{PID: 1000 + service, TID: 1000 + service, StartNS: r.Int64N(3600_000 * ms), DurationNS: d, Cause: cause,
			BreakdownNS: map[model.Cause]int64{cause: d}, Culprit: &stack[0], Leaf: &stack[0], Task: fmt.Sprintf("Task-%d", r.IntN(100_000)),
			Stacks: []model.Stack{{NS: d, Cause: cause, Frames: stack}}})
	}
	return summary.Assemble(summary.Meta{StartedAt: time.Unix(1.77e9, 0).UTC(), EndedNS: 3600_000 * ms, ThresholdNS: 100 * ms, Processes: 60,
		Host: model.Host{Hostname: "big", Kernel: "6.12.1", Arch: "amd64", Attach: "fentry"}}, loops, blocks)
}
