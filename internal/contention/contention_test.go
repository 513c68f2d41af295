// SPDX-License-Identifier: Apache-2.0

package contention

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/asyncio"
	"github.com/loopwatch/loopwatch/internal/model"
)

var (
	application = model.Frame{Function: "handler", File: "/srv/app.py", Line: 7, App: true}
	elsewhere   = model.Frame{Function: "other", File: "/srv/app.py", Line: 20, App: true}
	pool        = model.Frame{Function: "Pool.acquire", File: "/usr/lib/python3/dist-packages/pool.py", Line: 3}
	acquire     = model.Frame{Function: "Lock.acquire", File: "/usr/lib/python3.13/asyncio/locks.py", Line: 100}
	enter       = model.Frame{Function: "Lock.__aenter__", File: "/usr/lib/python3.13/asyncio/locks.py", Line: 14}
)

const lock, other = 0x100, 0x200

// wants is a task that waits for a lock.
func wants(addr, lock uint64, held ...asyncio.Held) Task {
	return Task{
		Addr: addr, ID: fmt.Sprintf("%#x", addr), Name: fmt.Sprint("task ", addr), Loop: 1, Frames: []model.Frame{acquire, enter, pool, application, elsewhere},
		Waits: asyncio.Waits{On: model.WaitLock, Object: lock, Call: "Lock.acquire", Library: 2}, Held: held,
	}
}

// rests is a task that waits for a future.
func rests(addr uint64, held ...asyncio.Held) Task {
	return Task{
		Addr: addr, ID: fmt.Sprintf("%#x", addr), Name: fmt.Sprint("task ", addr), Loop: 1, Frames: []model.Frame{application, elsewhere},
		Waits: asyncio.Waits{On: model.WaitFuture}, Held: held,
	}
}

func TestWaitsAreGrouped(t *testing.T) {
	tasks := []Task{wants(1, lock), wants(2, lock), wants(3, other), rests(4, asyncio.Held{Object: lock, At: 0}), rests(5, asyncio.Held{Object: lock + 8, At: 1})}
	tasks[1].Frames = []model.Frame{acquire, enter, elsewhere}
	tasks = append(tasks, wants(6, lock))
	tasks = append(tasks, Task{Addr: 7, Loop: 1}, Task{Addr: 8, Loop: 2, Frames: []model.Frame{application}, Waits: asyncio.Waits{On: model.WaitSleep, Call: "sleep"}})
	awaiting := rests(9)
	awaiting.Awaits = true
	tasks = append(tasks, awaiting)

	waits := Waits(tasks, FindHolders(tasks))
	require.Len(t, waits, 2)
	first := waits[1][0]
	assert.Equal(t, []any{model.WaitLock, 3, application, []string{"0x1", "0x2", "0x6"}}, []any{first.On, first.Tasks, *first.Place, first.IDs}, "most of them wait there")
	require.NotNil(t, first.Holder)
	assert.Equal(t, []any{"task 4", []model.Frame{elsewhere}}, []any{first.Holder.Name, first.Holder.Frames}, "the frame that holds it, and its callers")
	assert.True(t, Contended(&first))
	var kinds []model.WaitKind
	for _, w := range waits[1] {
		kinds = append(kinds, w.On)
	}
	assert.Equal(t, []model.WaitKind{model.WaitLock, model.WaitFuture, model.WaitLock, model.WaitTask}, kinds)
	assert.Nil(t, waits[1][2].Holder)
	assert.Equal(t, model.WaitSleep, waits[2][0].On)
}

// TestNobodyIsBlamedOnDoubt: two that seem to hold a lock do not.
func TestNobodyIsBlamedOnDoubt(t *testing.T) {
	tasks := []Task{wants(1, lock), rests(2, asyncio.Held{Object: lock}), rests(3, asyncio.Held{Object: lock}), rests(4, asyncio.Held{Object: lock})}
	holders := FindHolders(tasks)
	assert.Nil(t, holders.Of(lock))
	assert.Nil(t, Waits(tasks, holders)[1][0].Holder)
	// One that has entered it twice is one.
	tasks = []Task{rests(2, asyncio.Held{Object: lock}, asyncio.Held{Object: lock, At: 1})}
	assert.NotNil(t, FindHolders(tasks).Of(lock))
	assert.Nil(t, FindHolders(tasks).Of(0))
	assert.Nil(t, Holders{}.Of(lock))
}

func TestQueues(t *testing.T) {
	get := func(addr uint64, call string, consumer bool) Task {
		return Task{Addr: addr, Loop: 1, Frames: []model.Frame{application}, Waits: asyncio.Waits{On: model.WaitQueue, Object: 0x300, Call: call, Consumer: consumer}}
	}
	for _, c := range []struct {
		tasks     []Task
		contended bool
	}{
		{[]Task{get(1, "Queue.get", true), get(2, "Queue.get", true)}, false},
		{[]Task{get(1, "Queue.get", true), get(2, "Queue.get", false)}, true},
		{[]Task{get(1, "Queue.put", true)}, true},
		{[]Task{get(1, "Queue.join", false)}, false},
	} {
		waits := Waits(c.tasks, Holders{})[1]
		require.Len(t, waits, 1)
		assert.Equal(t, c.contended, Contended(&waits[0]), c.tasks)
	}
	assert.Len(t, Waits([]Task{get(1, "Queue.get", true), get(2, "Queue.put", true)}, Holders{})[1], 2)
}

func TestDeadlocks(t *testing.T) {
	names := func(tasks []Task) (out [][]string) {
		for _, circle := range Deadlocks(tasks, FindHolders(tasks)) {
			var members []string
			for _, m := range circle {
				members = append(members, m.Task)
			}
			out = append(out, members)
		}
		return out
	}
	holds := func(lock uint64) asyncio.Held { return asyncio.Held{Object: lock} }
	assert.Equal(t, [][]string{{"0x2", "0x1"}}, names([]Task{wants(1, other, holds(lock)), wants(2, lock, holds(other)), wants(3, lock)}), "one that waits for the circle is not of it")
	assert.Equal(t, [][]string{{"0x1"}}, names([]Task{wants(1, lock, holds(lock))}))
	assert.Empty(t, names([]Task{wants(1, lock), wants(2, other, holds(lock)), rests(3, holds(other))}), "a chain")
	assert.Empty(t, names([]Task{wants(1, other, holds(lock), asyncio.Held{Timeout: true}), wants(2, lock, holds(other))}), "it ends by itself")

	boss := rests(1, holds(lock))
	boss.Waits = asyncio.Waits{On: model.WaitTask, Task: 2}
	tasks := []Task{boss, wants(2, lock)}
	assert.Equal(t, [][]string{{"0x2", "0x1"}}, names(tasks))
	circle := Deadlocks(tasks, FindHolders(tasks))[0]
	assert.Equal(t, []any{model.WaitTask, model.WaitLock, application}, []any{circle[0].Holds, circle[1].Holds, *circle[0].Frame})

	var ring []Task
	const n = 1 << 15
	for i := range uint64(n) {
		ring = append(ring, wants(i+1, (i+1)%n+1<<20, holds(i+1<<20)))
	}
	found := Deadlocks(ring, FindHolders(ring))
	require.Len(t, found, 1)
	assert.Len(t, found[0], n)
}

func TestWorst(t *testing.T) {
	ptr := func(n int) *int { return &n }
	wait := func(on model.WaitKind, n int) model.Wait { return model.Wait{On: on, Tasks: n, Call: "Queue.get"} }
	d := &model.Dump{Processes: []model.DumpProcess{{
		Loops: []model.DumpLoop{{Waits: []model.Wait{wait(model.WaitSleep, 100), wait(model.WaitLock, 2), wait(model.WaitSemaphore, 4)}}},
		Executors: []model.Executor{
			{Name: "not full", Threads: 4, Max: ptr(8), Busy: 4, Queued: ptr(50)}, {Name: "idle", Threads: 4, Max: ptr(4), Busy: 3, Queued: ptr(60)},
			{Name: "not known", Threads: 4, Busy: 4}, {Name: "full", Threads: 4, Max: ptr(4), Busy: 4, Queued: ptr(5)},
		},
	}}}
	worst := Worst(d)
	require.NotNil(t, worst)
	assert.Equal(t, "full", worst.Executor.Name)
	d.Processes[0].Executors = nil
	assert.Equal(t, model.WaitSemaphore, Worst(d).Wait.On)
	d.Processes[0].Loops[0].Waits = d.Processes[0].Loops[0].Waits[:2]
	assert.Nil(t, Worst(d), "two are not many")
}
