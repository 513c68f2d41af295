// SPDX-License-Identifier: Apache-2.0

package summary

import (
	"cmp"
	"slices"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
)

// maxString bounds every foreign string of a report, in bytes.
const maxString = 4 << 10

// defaultStacks bounds the stacks of one block unless told otherwise.
const defaultStacks = 8

// Normalise gives a block the form the machine format promises: at most so many stacks (0: 8), heaviest first, no null
// lists, every string bounded and UTF-8. It returns how many stacks that leaves out.
func Normalise(b *model.Block, stacks int) (cut int64) {
	stacks = cmp.Or(stacks, defaultStacks)
	b.Cause = cmp.Or(b.Cause, model.CauseUnknown)
	if b.BreakdownNS == nil {
		b.BreakdownNS = map[model.Cause]int64{}
	}
	slices.SortStableFunc(b.Stacks, func(x, y model.Stack) int { return cmp.Compare(y.NS, x.NS) })
	if over := len(b.Stacks) - stacks; over > 0 {
		cut = int64(over)
		b.Stacks = slices.Clone(b.Stacks[:stacks])
	}
	if b.Stacks == nil {
		b.Stacks = []model.Stack{}
	}
	for i := range b.Stacks {
		s := &b.Stacks[i]
		s.Cause = cmp.Or(s.Cause, model.CauseUnknown)
		s.Frames = boundFrames(s.Frames)
	}
	b.Culprit, b.Leaf = boundFrame(b.Culprit), boundFrame(b.Leaf)
	b.Task = bound(b.Task)
	b.Detail.Target, b.Detail.Native = bound(b.Detail.Target), bound(b.Detail.Native)
	b.Detail.Called, b.Detail.Scheduled = bound(b.Detail.Called), boundFrame(b.Detail.Scheduled)
	if h := b.Detail.Holder; h != nil {
		held := *h
		held.Thread, held.Frames = bound(h.Thread), boundFrames(h.Frames)
		b.Detail.Holder = &held
	}
	if i := b.Detail.Import; i != nil {
		bounded := *i
		bounded.Module = bound(i.Module)
		b.Detail.Import = &bounded
	}
	if d := b.Delayed; d != nil && len(d.By) > 0 {
		bounded := *d
		bounded.By = slices.Clone(d.By[:min(len(d.By), model.MaxDelayedBy)])
		for i := range bounded.By {
			bounded.By[i].Target = bound(bounded.By[i].Target)
		}
		b.Delayed = &bounded
	}
	b.Detail.Audit = slices.Clone(b.Detail.Audit)
	for i := range b.Detail.Audit {
		b.Detail.Audit[i].Event = bound(b.Detail.Audit[i].Event)
	}
	return cut
}

// NormaliseDump gives a dump the form the machine format promises: no null lists, every foreign string
// bounded and UTF-8.
func NormaliseDump(d *model.Dump) {
	d.Schema = model.SchemaDump
	if d.Processes == nil {
		d.Processes = []model.DumpProcess{}
	}
	normaliseMissing(&d.Lost, &d.Unsupported)
	for i := range d.Processes {
		p := &d.Processes[i]
		p.Command, p.Container, p.Unit = bound(p.Command), bound(p.Container), bound(p.Unit)
		if p.GIL == nil {
			p.GIL = []model.DumpGIL{}
		}
		for k := range p.GIL {
			p.GIL[k].Thread = bound(p.GIL[k].Thread)
		}
		if p.Loops == nil {
			p.Loops = []model.DumpLoop{}
		}
		if p.Threads == nil {
			p.Threads = []model.DumpThread{}
		}
		for k := range p.Loops {
			l := &p.Loops[k]
			normaliseThread(&l.DumpThread)
			l.Task = bound(l.Task)
			for n := range l.Tasks {
				t := &l.Tasks[n]
				t.Name, t.Frames = bound(t.Name), boundFrames(t.Frames)
			}
			normaliseWaits(l.Waits)
		}
		for k := range p.Threads {
			normaliseThread(&p.Threads[k])
		}
		normalisePools(p)
	}
}

// NormaliseWaits gives a profile of awaits the form the machine format promises: no null lists, every foreign string bounded and UTF-8.
func NormaliseWaits(p *model.WaitProfile) {
	p.Schema = model.SchemaWaits
	if p.Loops == nil {
		p.Loops = []model.WaitLoop{}
	}
	if p.Waits == nil {
		p.Waits = []model.TaskWaits{}
	}
	normaliseMissing(&p.Lost, &p.Unsupported)
	for i := range p.Loops {
		l := &p.Loops[i]
		l.Command, l.Container, l.Unit = bound(l.Command), bound(l.Container), bound(l.Unit)
	}
	for i := range p.Waits {
		w := &p.Waits[i]
		w.Place, w.Chain = boundFrame(w.Place), boundFrames(w.Chain)
		if w.Loops == nil {
			w.Loops = []model.LoopWaits{}
		}
		w.Holder = boundHolder(w.Holder)
	}
}

// normaliseMissing does the same to what is said of what is missing.
func normaliseMissing(lost *map[string]int64, unsupported *[]model.Unsupported) {
	if *lost == nil {
		*lost = map[string]int64{}
	}
	if *unsupported == nil {
		*unsupported = []model.Unsupported{}
	}
	for i := range *unsupported {
		u := &(*unsupported)[i]
		u.Command, u.Reason = bound(u.Command), bound(u.Reason)
	}
}

func boundHolder(h *model.WaitHolder) *model.WaitHolder {
	if h == nil {
		return nil
	}
	held := *h
	held.Name, held.Frames = bound(h.Name), boundFrames(h.Frames)
	return &held
}

func normaliseWaits(waits []model.Wait) {
	for i := range waits {
		w := &waits[i]
		w.Place = boundFrame(w.Place)
		w.Holder = boundHolder(w.Holder)
	}
}

func normalisePools(p *model.DumpProcess) {
	for i := range p.Executors {
		e := &p.Executors[i]
		e.Name = bound(e.Name)
		if e.Work == nil {
			e.Work = []model.ExecutorWork{}
		}
		for k := range e.Work {
			e.Work[k].Frame = boundFrame(e.Work[k].Frame)
		}
	}
	for _, circle := range p.Deadlocks {
		for k := range circle {
			circle[k].Name, circle[k].Frame = bound(circle[k].Name), boundFrame(circle[k].Frame)
		}
	}
}

func normaliseThread(t *model.DumpThread) {
	t.Thread = bound(t.Thread)
	t.Frames = boundFrames(t.Frames)
	t.Culprit, t.Leaf = boundFrame(t.Culprit), boundFrame(t.Leaf)
	t.Detail.Target, t.Detail.Native = bound(t.Detail.Target), bound(t.Detail.Native)
	if h := t.Detail.Holder; h != nil {
		held := *h
		held.Thread, held.Frames = bound(h.Thread), boundFrames(h.Frames)
		t.Detail.Holder = &held
	}
}

func bound(s string) string { return safetext.Bound(s, maxString) }

func boundFrame(f *model.Frame) *model.Frame {
	if f == nil {
		return nil
	}
	c := *f
	c.Function, c.File = bound(f.Function), bound(f.File)
	return &c
}

// boundFrames returns frames with every string bounded. Frames are shared between blocks, so
// they are copied where something has to change, which is hardly ever.
func boundFrames(frames []model.Frame) []model.Frame {
	if frames == nil {
		return []model.Frame{}
	}
	copied := false
	for i, f := range frames {
		g := f
		g.Function, g.File = bound(f.Function), bound(f.File)
		if g == f {
			continue
		}
		if !copied {
			frames, copied = slices.Clone(frames), true
		}
		frames[i] = g
	}
	return frames
}
