// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"cmp"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/words"
)

// file is what every format writes.
type file struct {
	title      string
	none       string // what there was not, where there is no sample
	startedAt  string
	durationNS int64
	comment    string
	counted    string // what Sample.Count counts
	weighed    string // what Sample.NS is
	label      string // what Sample.Kind is
	loops      []model.LoopID
	samples    []Sample
}

// blocked is the blocked time of a report.
func blocked(r *model.Report) *file {
	f := &file{
		title: title("blocked time of event loops", r.Host.Hostname, r.StartedAt), none: "no loop was blocked", startedAt: r.StartedAt,
		durationNS: max(r.EndedNS-r.StartedNS, 0), comment: "threshold: " + words.HumanDuration(r.ThresholdNS),
		counted: "blocks", weighed: "blocked", label: "cause", samples: Samples(r),
	}
	for _, l := range r.Loops {
		f.loops = append(f.loops, model.LoopID{PID: l.PID, TID: l.TID})
	}
	return f
}

// waiting is the waiting time of a profile of awaits.
func waiting(p *model.WaitProfile) *file {
	f := &file{
		title: title("waiting time of asyncio tasks", p.Host.Hostname, p.StartedAt), none: "no task waited", startedAt: p.StartedAt,
		durationNS: max(p.EndedNS-p.StartedNS, 0), comment: words.Plural(p.Samples, "sample") + " of all tasks",
		counted: "samples", weighed: "waiting", label: "on", samples: WaitSamples(p),
	}
	for _, l := range p.Loops {
		f.loops = append(f.loops, model.LoopID{PID: l.PID, TID: l.TID})
	}
	return f
}

// WaitSamples returns the waiting time of p, without what is counted elsewhere. What the samples weigh adds up to the time of the
// loops.
func WaitSamples(p *model.WaitProfile) (out []Sample) {
	loops := make(map[model.LoopID]*Loop, len(p.Loops))
	for _, l := range p.Loops {
		loops[model.LoopID{PID: l.PID, TID: l.TID}] = newLoop(l.PID, l.TID, l.Command, l.Loop)
	}
	frames := make(map[model.Frame]Frame)
	for i := range p.Waits {
		w := &p.Waits[i]
		if w.Elsewhere {
			continue
		}
		stack := framesOf(w.Chain, frames)
		if len(stack) == 0 {
			stack = []Frame{{Function: NoStack}}
		}
		for _, share := range w.Loops {
			l := loops[share.LoopID]
			if l == nil {
				l = newLoop(share.PID, share.TID, "", "")
				loops[share.LoopID] = l
			}
			if share.TaskNS > 0 {
				out = append(out, Sample{Loop: l, Count: share.Samples, Kind: cmp.Or(string(w.On), "?"), NS: share.TaskNS, Frames: stack})
			}
		}
	}
	return out
}

// title says what a file is about.
func title(what, hostname, startedAt string) string {
	if hostname != "" {
		what += " on " + clean(hostname)
	}
	if startedAt != "" {
		what += ", " + clean(startedAt)
	}
	return what
}
