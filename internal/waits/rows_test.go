// SPDX-License-Identifier: Apache-2.0

package waits

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/asyncio"
	"github.com/loopwatch/loopwatch/internal/model"
)

// TestLinks: what waits for others is carried by these, whatever circles tasks make.
func TestLinks(t *testing.T) {
	task := func(addr uint64, by ...uint64) *asyncio.Pending {
		return &asyncio.Pending{Addr: addr, Name: fmt.Sprint("task ", addr), AwaitedBy: by}
	}
	for name, c := range map[string]struct {
		tasks   []*asyncio.Pending
		carried []uint64
	}{
		"alone":                       {[]*asyncio.Pending{task(1)}, nil},
		"a child":                     {[]*asyncio.Pending{task(1, 2), task(2)}, []uint64{2}},
		"a child's child":             {[]*asyncio.Pending{task(1, 2), task(2, 3), task(3)}, []uint64{2, 3}},
		"itself":                      {[]*asyncio.Pending{task(1, 1)}, nil},
		"one another":                 {[]*asyncio.Pending{task(1, 2), task(2, 1)}, nil},
		"one another, and a third":    {[]*asyncio.Pending{task(1, 2), task(2, 1), task(3, 1)}, []uint64{1, 2}},
		"awaited by what is not here": {[]*asyncio.Pending{task(1, 9)}, nil},
	} {
		l := newLinks(c.tasks)
		var carried []uint64
		for _, task := range c.tasks {
			if l.carried[task.Addr] {
				carried = append(carried, task.Addr)
			}
		}
		assert.Equal(t, c.carried, carried, name)
	}
	l := newLinks([]*asyncio.Pending{task(1, 3, 2), task(2), task(3)})
	assert.EqualValues(t, 2, l.awaiter(l.byAddr[1]).Addr, "the first by name")
	assert.Nil(t, l.awaiter(l.byAddr[2]))
}

func frame(function string, line int) model.Frame {
	return model.Frame{Function: function, File: "/srv/app.py", Line: line, App: true}
}

func TestRows(t *testing.T) {
	r := newRows()
	one, two := model.LoopID{PID: 1, TID: 1}, model.LoopID{PID: 2, TID: 2}
	own, outer := r.list([]model.Frame{frame("get", 41)}), r.list([]model.Frame{frame("serve", 7), frame("main", 9)})
	assert.Equal(t, own, r.list([]model.Frame{frame("get", 41)}))
	chain := r.link(own, r.link(outer, 0))
	k := key{on: model.WaitLock, call: "Lock.acquire", chain: chain, place: frame("get", 41)}
	other := k
	other.chain = r.link(own, 0)
	for n := range 3 { // 1, 2 and 3 tasks of one loop, and one of another
		for range n + 1 {
			r.add(r.row(k), one, 10)
		}
		r.add(r.row(k), two, 5)
		r.add(r.row(other), two, 5)
		r.row(k).heldBy(&model.WaitHolder{Task: "0x1", Name: fmt.Sprint("holder ", min(n, 1)), Frames: []model.Frame{frame("refresh", 88)}})
		r.endSample()
	}
	elsewhere := key{on: model.WaitTask, chain: r.link(outer, 0), flags: flags{elsewhere: true}}
	r.add(r.row(elsewhere), one, 1000)
	r.endSample()
	waits := r.waits(30)
	require.Len(t, waits, 3)
	assert.True(t, waits[0].Elsewhere)
	assert.False(t, waits[0].Contended)
	w := waits[1]
	assert.EqualValues(t, 75, w.TaskNS)
	assert.EqualValues(t, 9, w.Samples)
	assert.Equal(t, 4, w.TasksMax)
	assert.Equal(t, 5, w.PlaceMax)
	assert.InDelta(t, 2.5, w.TasksMean, 1e-9)
	assert.True(t, w.Contended)
	assert.Equal(t, "holder 1", w.Holder.Name)
	assert.Equal(t, []model.Frame{frame("get", 41), frame("serve", 7), frame("main", 9)}, w.Chain)
	assert.Equal(t, []model.LoopWaits{{LoopID: one, TaskNS: 60, Samples: 6}, {LoopID: two, TaskNS: 15, Samples: 3}}, w.Loops)
	assert.Equal(t, map[model.LoopID]int64{one: 60, two: 30}, r.byLoop, "what is counted elsewhere is in no sum")
}

// TestRowsAreBounded: a program that waits in ever new places.
func TestRowsAreBounded(t *testing.T) {
	r := newRows()
	id := model.LoopID{PID: 1, TID: 1}
	const times = 3 * maxLists
	for n := range times {
		own := r.list([]model.Frame{frame("f", n), frame("main", 1)})
		r.add(r.row(key{on: model.WaitSleep, chain: r.link(own, 0), place: frame("f", n)}), id, 1)
		r.endSample()
	}
	assert.LessOrEqual(t, len(r.rows), maxRows+1)
	assert.LessOrEqual(t, len(r.stacks), maxLists)
	assert.LessOrEqual(t, len(r.places), maxRows+1)
	assert.Positive(t, r.lost[reasonRows])
	sum := int64(0)
	for _, w := range r.waits(times) {
		sum += w.TaskNS
	}
	assert.EqualValues(t, times, sum, "no time is lost")
}

// TestPace: no more CPU time is taken than may be, and what is not sampled for that is counted.
func TestPace(t *testing.T) {
	now, used := time.Unix(0, 0), time.Duration(0)
	p := newPace(10, mostCPU, now, func() time.Duration { return used })
	run := func(cost time.Duration, until time.Duration) (samples int) {
		for end := now.Add(until); now.Before(end); samples++ {
			used += cost
			wait := p.next(now)
			assert.Positive(t, wait)
			now = now.Add(wait)
		}
		return samples
	}
	assert.InDelta(t, 1000, run(time.Millisecond/2, 100*time.Second), 60)
	assert.Zero(t, p.skipped())
	before := used
	samples := run(10*time.Millisecond, 200*time.Second)
	assert.LessOrEqual(t, float64(used), mostCPU*float64(now.Sub(p.began))+float64(10*time.Millisecond))
	assert.Positive(t, used-before)
	assert.InDelta(t, 2000-samples, p.skipped(), 60)
}

func TestShare(t *testing.T) {
	assert.InDelta(t, mostCPU-0.2/60, shareFor(time.Minute, 200*time.Millisecond), 1e-9)
	assert.InDelta(t, mostCPU/2, shareFor(charged, time.Second), 1e-9, "half is for samples")
	assert.InDelta(t, mostCPU, shareFor(10*time.Second, 200*time.Millisecond), 1e-9, "a short observation has the start besides")
}
