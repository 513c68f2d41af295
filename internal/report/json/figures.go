// SPDX-License-Identifier: Apache-2.0

package json

import (
	"fmt"
	"math"
	"time"

	"github.com/loopwatch/loopwatch/internal/model"
)

// Bounds of what stands in a report that is read. No sum of what is within them overflows.
const (
	maxString = 16 << 10
	maxCause  = 64                   // bytes of a cause's name
	maxTime   = int64(1e18)          // nanoseconds, 31 years
	maxID     = int64(math.MaxInt32) // of a process or thread
	maxCount  = int64(math.MaxInt32) // of what is listed
	maxTotal  = int64(math.MaxInt64 / 4)
)

// figures checks the parts of a report, and keeps what sums it needs for that.
type figures struct {
	frames              int
	blocked, total, all int64
	bad                 error
}

// number demands that n is from 0 to limit.
func (f *figures) number(name string, n, limit int64) {
	if f.bad == nil && (n < 0 || n > limit) {
		f.bad = fmt.Errorf("%s: %d is out of range", name, n)
	}
}

// add adds to a sum that must not overflow.
func (f *figures) add(name string, sum *int64, n int64) {
	if f.number(name, n, maxTotal); f.bad != nil {
		return
	}
	if *sum += n; *sum > maxTotal {
		f.bad = fmt.Errorf("%s: together out of range", name)
	}
}

func (f *figures) text(name, s string, limit int) {
	if f.bad == nil && len(s) > limit {
		f.bad = fmt.Errorf("%s: longer than %d bytes", name, limit)
	}
}

func (f *figures) frame(name string, frame *model.Frame) {
	if frame == nil || f.bad != nil {
		return
	}
	f.text(name+".function", frame.Function, maxString)
	f.text(name+".file", frame.File, maxString)
	if frame.Line < math.MinInt32 || frame.Line > math.MaxInt32 {
		f.number(name+".line", -1, 0)
	}
}

func (f *figures) stack(name string, frames []model.Frame) {
	if f.frames += len(frames); f.frames > maxFrames && f.bad == nil {
		f.bad = fmt.Errorf("%s: more than %d frames in all", name, maxFrames)
	}
	for i := range frames {
		f.frame(name, &frames[i])
	}
}

func (f *figures) detail(d *model.Detail) {
	for name, s := range map[string]string{"syscall": d.Syscall, "target": d.Target, "native": d.Native, "called": d.Called, "gil": string(d.GIL)} {
		f.text("detail."+name, s, maxString)
	}
	if d.FD != nil {
		f.number("detail.fd", int64(max(*d.FD, 0)), maxID)
	}
	f.frame("detail.scheduled", d.Scheduled)
	if h := d.Holder; h != nil {
		f.number("detail.holder.pid", int64(h.PID), maxID)
		f.number("detail.holder.tid", int64(h.TID), maxID)
		f.text("detail.holder.thread", h.Thread, maxString)
		f.stack("detail.holder.frames", h.Frames)
	}
	if g := d.GC; g != nil {
		f.number("detail.gc.count", g.Count, maxTotal)
		f.number("detail.gc.ns", g.NS, maxTime)
		f.number("detail.gc.max_ns", g.MaxNS, maxTime)
	}
	if i := d.Import; i != nil {
		f.number("detail.import.count", i.Count, maxTotal)
		f.number("detail.import.ns", i.NS, maxTime)
		f.number("detail.import.max_ns", i.MaxNS, maxTime)
		f.text("detail.import.module", i.Module, maxString)
	}
	for _, a := range d.Audit {
		f.text("detail.audit.event", a.Event, maxString)
		f.number("detail.audit.count", a.Count, maxTotal)
	}
}

func (f *figures) block(b *model.Block) error {
	f.number("pid", int64(b.PID), maxID)
	f.number("tid", int64(b.TID), maxID)
	f.number("start_ns", b.StartNS, maxTime)
	f.number("duration_ns", b.DurationNS, maxTime)
	f.number("period_ns", b.PeriodNS, maxTime)
	f.number("boundary_ns", b.BoundaryNS, maxTime)
	f.add("duration_ns", &f.blocked, b.DurationNS)
	f.text("started_at", b.StartedAt, maxCause)
	f.text("cause", string(b.Cause), maxCause)
	f.text("task", b.Task, maxString)
	f.frame("culprit", b.Culprit)
	f.frame("leaf", b.Leaf)
	for cause, ns := range b.BreakdownNS {
		f.text("breakdown_ns", string(cause), maxCause)
		f.add("breakdown_ns", &f.all, ns)
	}
	for i := range b.Stacks {
		s := &b.Stacks[i]
		f.add("stacks.ns", &f.all, s.NS)
		f.text("stacks.cause", string(s.Cause), maxCause)
		f.stack("stacks.frames", s.Frames)
		s.Frames = present(s.Frames)
	}
	f.detail(&b.Detail)
	if d := b.Delayed; d != nil {
		f.add("delayed.events", &f.all, d.Events)
		f.number("delayed.max_ns", d.MaxNS, maxTime)
		for _, by := range d.By {
			f.text("delayed.by.target", by.Target, maxString)
			f.add("delayed.by.events", &f.all, by.Events)
		}
	}
	b.Stacks = present(b.Stacks)
	if b.BreakdownNS == nil {
		b.BreakdownNS = map[model.Cause]int64{}
	}
	return f.bad
}

func (f *figures) blocker(b *model.Blocker) error {
	f.text("cause", string(b.Cause), maxCause)
	f.frame("culprit", b.Culprit)
	f.detail(&b.Detail)
	f.number("count", b.Count, maxCount)
	f.add("total_ns", &f.total, b.TotalNS)
	f.number("max_ns", b.MaxNS, maxTime)
	f.stack("stack", b.Stack)
	f.text("advice", b.Advice, maxString)
	if k := b.Known; k != nil {
		f.text("known.rule", k.Rule, maxString)
		f.text("known.why", k.Why, maxString)
		f.text("known.baseline", string(k.Baseline), maxCause)
	}
	for _, l := range b.Loops {
		f.number("loops.pid", int64(l.PID), maxID)
		f.number("loops.tid", int64(l.TID), maxID)
	}
	b.Loops, b.Stack = present(b.Loops), present(b.Stack)
	return f.bad
}

func (f *figures) loop(l *model.Loop) error {
	f.number("pid", int64(l.PID), maxID)
	f.number("tid", int64(l.TID), maxID)
	for name, s := range map[string]string{"command": l.Command, "python": l.Python, "loop": l.Loop, "container": l.Container, "unit": l.Unit} {
		f.text(name, s, maxString)
	}
	for name, n := range map[string]int64{"iterations": l.Iterations, "idle_ns": l.IdleNS, "late_ns": l.LateNS, "active_ns": l.ActiveNS, "blocks": l.Blocks,
		"blocked_ns": l.BlockedNS, "in_block_ns": l.InBlockNS, "unrested_ns.total": l.UnrestedNS.Total, "unrested_ns.max": l.UnrestedNS.Max} {
		f.number(name, n, maxTime)
	}
	f.add("blocked_ns", &f.all, l.BlockedNS)
	f.percentiles("iteration_ns", &l.IterationNS)
	f.percentiles("ready_delay_ns", l.ReadyDelayNS)
	if f.bad == nil && !(l.Utilization >= 0 && l.Utilization <= 1) {
		f.bad = fmt.Errorf("utilization: %g is out of range", l.Utilization)
	}
	for _, kind := range l.USDT {
		f.text("usdt", kind, maxCause)
	}
	return f.bad
}

func (f *figures) percentiles(name string, p *model.Percentiles) {
	if p == nil {
		return
	}
	for of, n := range map[string]int64{"p50": p.P50, "p90": p.P90, "p99": p.P99, "max": p.Max} {
		f.number(name+"."+of, n, maxTime)
	}
}

func (f *figures) unsupported(u *model.Unsupported) error {
	f.number("pid", int64(u.PID), maxID)
	f.text("command", u.Command, maxString)
	f.text("reason", u.Reason, maxString)
	return f.bad
}

// check checks what belongs to the report as a whole.
func (f *figures) check(r *model.Report) error {
	f.number("started_ns", r.StartedNS, maxTime)
	f.number("ended_ns", r.EndedNS, maxTime)
	f.number("ended_ns less started_ns", r.EndedNS-r.StartedNS, maxTime)
	f.number("threshold_ns", r.ThresholdNS, maxTime)
	f.number("processes", int64(r.Processes), maxID)
	for name, s := range map[string]string{"hostname": r.Host.Hostname, "kernel": r.Host.Kernel, "arch": r.Host.Arch, "attach": r.Host.Attach} {
		f.text("host."+name, s, maxString)
	}
	f.number("lost.events", r.Lost.Events, maxTotal)
	f.number("lost.stacks", r.Lost.Stacks, maxTotal)
	for reason, n := range r.Lost.Reasons {
		f.text("lost.reasons", reason, maxString)
		f.number("lost.reasons", n, maxTotal)
	}
	if _, err := time.Parse(time.RFC3339Nano, r.StartedAt); f.bad == nil && err != nil {
		f.bad = fmt.Errorf("started_at: %.40q is no time", r.StartedAt)
	}
	if l := r.LetThrough; l != nil {
		f.number("let_through.blockers", int64(l.Blockers), maxID)
		f.number("let_through.blocks", l.Blocks, maxTotal)
		f.number("let_through.total_ns", l.TotalNS, maxTotal)
		f.number("let_through.rules", int64(l.Rules), maxID)
		for _, u := range l.Unmatched {
			f.text("let_through.unmatched", u.Rule, maxString)
			f.text("let_through.unmatched", u.Text, maxString)
		}
	}
	r.Unsupported = present(r.Unsupported)
	return f.bad
}

// present returns an empty list for none: lists of a report are never null.
func present[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
