// SPDX-License-Identifier: Apache-2.0

package waits

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"github.com/loopwatch/loopwatch/internal/contention"
	"github.com/loopwatch/loopwatch/internal/model"
)

// Bounds of what is kept.
const (
	maxRows    = 4096    // waits that are told apart
	maxLists   = 1 << 14 // stacks of tasks
	maxLink    = 1 << 15 // chains of these
	maxFrames  = 1 << 18 // frames of all stacks
	maxHolders = 64      // of one wait
	maxChain   = 1024    // frames of one chain that are shown
)

// rows adds up what was sampled.
type rows struct {
	lists   map[string]int // stacks by their frames
	stacks  [][]model.Frame
	size    int // frames of all of them
	links   map[link]int
	chains  []link
	rows    map[key]*row
	touched []*row // in this sample
	places  map[key]*crowd
	crowded []*crowd // in this sample
	byLoop  map[model.LoopID]int64
	from    int64 // CLOCK_MONOTONIC of the first sample, 0 none
	to      int64 // and of the last one
	longest int64 // between two samples of a process
	lost    losses
}

// link is a stack of one task, and the chain of those that await it, 0 where there is none.
type link struct{ own, next int }

// flags tell rows of the same chain apart.
type flags struct{ queued, consumers, elsewhere bool }

// key is what is added up together.
type key struct {
	on    model.WaitKind
	call  string
	chain int
	place model.Frame
	flags flags
}

// row is the sum of one key.
type row struct {
	key
	ns, samples int64
	now, most   int // tasks at once
	crowd       *crowd
	loops       map[model.LoopID]*model.LoopWaits
	holders     map[string]*held
}

// crowd is how many tasks waited for the same in one place at once, by whatever chain.
type crowd struct{ now, most int }

// held is one holder of what a row waits for.
type held struct {
	*model.WaitHolder
	seen int64
}

func newRows() *rows {
	return &rows{
		lists: make(map[string]int), stacks: [][]model.Frame{nil}, links: make(map[link]int), chains: []link{{}},
		rows: make(map[key]*row), places: make(map[key]*crowd), byLoop: make(map[model.LoopID]int64), lost: make(losses),
	}
}

// list returns the number of a stack, 0 where there is no room for it.
func (r *rows) list(frames []model.Frame) int {
	if len(frames) == 0 {
		return 0
	}
	var name []byte
	for _, f := range frames {
		name = append(append(append(name, f.Function...), 0), f.File...)
		name = strconv.AppendBool(strconv.AppendInt(append(name, 0), int64(f.Line), 10), f.App)
	}
	n, known := r.lists[string(name)]
	if known {
		return n
	}
	if len(r.stacks) >= maxLists || r.size+len(frames) > maxFrames {
		r.lost.add(reasonRows, 1)
		return 0
	}
	n = len(r.stacks)
	r.lists[string(name)] = n
	r.stacks, r.size = append(r.stacks, frames), r.size+len(frames)
	return n
}

// frames returns the stack of a number.
func (r *rows) frames(list int) []model.Frame { return r.stacks[list] }

// link returns the number of a chain, 0 where there is no room for it.
func (r *rows) link(own, next int) int {
	if own == 0 && next == 0 {
		return 0
	}
	l := link{own, next}
	n, known := r.links[l]
	if !known {
		if len(r.chains) >= maxLink {
			r.lost.add(reasonRows, 1)
			return 0
		}
		n = len(r.chains)
		r.links[l] = n
		r.chains = append(r.chains, l)
	}
	return n
}

// row returns the row of a key; where there are too many, one for all of that kind.
func (r *rows) row(k key) *row {
	if found := r.rows[k]; found != nil {
		return found
	}
	if len(r.rows) >= maxRows {
		r.lost.add(reasonRows, 1)
		k = key{on: k.on, flags: k.flags}
		if found := r.rows[k]; found != nil {
			return found
		}
	}
	at := k
	at.chain = 0
	place := r.places[at]
	if place == nil {
		place = &crowd{}
		r.places[at] = place
	}
	out := &row{key: k, crowd: place, loops: make(map[model.LoopID]*model.LoopWaits)}
	r.rows[k] = out
	return out
}

// add adds a task of a loop to a row.
func (r *rows) add(to *row, loop model.LoopID, ns int64) {
	if to.now == 0 {
		r.touched = append(r.touched, to)
	}
	if to.crowd.now == 0 {
		r.crowded = append(r.crowded, to.crowd)
	}
	to.now++
	to.crowd.now++
	to.ns += ns
	to.samples++
	if !to.flags.elsewhere {
		r.byLoop[loop] += ns
	}
	share := to.loops[loop]
	if share == nil {
		share = &model.LoopWaits{LoopID: loop}
		to.loops[loop] = share
	}
	share.TaskNS += ns
	share.Samples++
}

// span notes that a sample was taken at a time.
func (r *rows) span(at int64) {
	if r.from == 0 {
		r.from = at
	}
	r.to = max(r.to, at)
}

// endSample ends a sample of all processes.
func (r *rows) endSample() {
	for _, row := range r.touched {
		row.most = max(row.most, row.now)
		row.now = 0
	}
	for _, place := range r.crowded {
		place.most = max(place.most, place.now)
		place.now = 0
	}
	r.touched, r.crowded = r.touched[:0], r.crowded[:0]
}

// heldBy notes who was seen to hold what a task of the row waits for, nil where that is not known.
func (r *row) heldBy(h *model.WaitHolder) {
	if h == nil || len(h.Frames) == 0 {
		return
	}
	f := h.Frames[0]
	id := h.Task + " " + h.Name + " " + f.Function + " " + f.File + " " + strconv.Itoa(f.Line)
	if known := r.holders[id]; known != nil {
		known.seen++
		return
	}
	if r.holders == nil {
		r.holders = make(map[string]*held)
	}
	if len(r.holders) < maxHolders {
		r.holders[id] = &held{h, 1}
	}
}

// holder returns the holder that was seen most often.
func (r *row) holder() *model.WaitHolder {
	var most *held
	for _, id := range slices.Sorted(maps.Keys(r.holders)) {
		if h := r.holders[id]; most == nil || h.seen > most.seen {
			most = h
		}
	}
	if most == nil {
		return nil
	}
	return most.WaitHolder
}

// waits returns what was added up within so many nanoseconds, largest first.
func (r *rows) waits(window int64) []model.TaskWaits {
	var out []model.TaskWaits
	for _, row := range r.rows {
		w := model.TaskWaits{
			On: row.on, Call: row.call, Chain: r.chain(row.chain), TaskNS: row.ns, Samples: row.samples, TasksMax: row.most, PlaceMax: row.crowd.most,
			Holder: row.holder(), Queued: row.flags.queued, Consumers: row.flags.consumers, Elsewhere: row.flags.elsewhere,
		}
		if row.place != (model.Frame{}) {
			place := row.place
			w.Place = &place
		}
		if window > 0 {
			w.TasksMean = float64(row.ns) / float64(window)
		}
		w.Contended = contended(&w)
		for _, id := range slices.SortedFunc(maps.Keys(row.loops), model.LoopID.Compare) {
			w.Loops = append(w.Loops, *row.loops[id])
		}
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b model.TaskWaits) int {
		return cmp.Or(cmp.Compare(b.TaskNS, a.TaskNS), cmp.Compare(b.TasksMax, a.TasksMax), comparePlaces(a.Place, b.Place), cmp.Compare(len(a.Chain), len(b.Chain)))
	})
	return out
}

// contended reports whether tasks waited for one another. One or two that take items of a queue for a caller may well wait for work.
func contended(w *model.TaskWaits) bool {
	if w.On == model.WaitQueue && w.PlaceMax < contention.Enough {
		return false
	}
	return w.Queued || contention.Contended(w.Wait())
}

func comparePlaces(a, b *model.Frame) int {
	if a == nil || b == nil {
		return cmp.Compare(boolInt(a == nil), boolInt(b == nil))
	}
	return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Function, b.Function))
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// chain returns the frames of a chain, innermost first.
func (r *rows) chain(n int) []model.Frame {
	out := []model.Frame{}
	for n != 0 && len(out) < maxChain {
		own := r.stacks[r.chains[n].own]
		out = append(out, own[:min(len(own), maxChain-len(out))]...)
		n = r.chains[n].next
	}
	return out
}
