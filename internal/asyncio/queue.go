// SPDX-License-Identifier: Apache-2.0

package asyncio

import (
	"errors"

	"github.com/loopwatch/loopwatch/internal/cpython/words"
	"github.com/loopwatch/loopwatch/internal/process"
)

// Queue is what an event loop that is written in Python has to do.
type Queue struct {
	Ready     int // callbacks that wait for their turn
	Scheduled int // timers that are not cancelled
	// First is when the first of them is due, seconds by the loop's clock, which is time.monotonic of the process; 0 where there
	// is none, or it could not be found.
	First float64
}

var errNoQueue = errors.New("it has no queue that could be read")

const (
	maxQueued = 1 << 30 // a queue of more is none
	maxTimers = 1 << 10 // that are looked at to find the first that is not cancelled
)

// QueueOf reads the queue of the event loop at an address. It fails for a loop that is compiled, as uvloop is.
func (t *Tasks) QueueOf(m process.Memory, loop uint64) (Queue, error) {
	return process.ReadTogether(m, func(m process.Memory) (Queue, error) { return t.queueOf(m, loop) })
}

func (t *Tasks) queueOf(m process.Memory, loop uint64) (out Queue, err error) {
	deques, err := t.runtime.Module(m, t.interp, "collections")
	if err != nil {
		return out, err
	}
	deque, err := t.runtime.Item(m, deques, "deque")
	if err != nil {
		return out, err
	}
	ready, err := t.runtime.Attribute(m, loop, "_ready")
	if err != nil {
		return out, err
	}
	if typ, err := t.runtime.TypeOf(m, ready); err != nil || typ != deque {
		return out, errNoQueue
	}
	n, err := t.runtime.Length(m, ready)
	if err != nil || n > maxQueued {
		return out, errors.Join(errNoQueue, err)
	}
	out.Ready = int(n)
	scheduled, err := t.runtime.Attribute(m, loop, "_scheduled")
	if err != nil {
		return out, err
	}
	timers, err := t.timers(m, scheduled)
	if err != nil {
		return out, err
	}
	cancelled := uint64(0)
	if counter, err := t.runtime.Attribute(m, loop, "_timer_cancelled_count"); err == nil {
		cancelled, _ = t.runtime.Unsigned(m, counter)
	}
	out.Scheduled = timers.n - int(min(cancelled, uint64(timers.n)))
	out.First = t.first(m, timers.some)
	return out, nil
}

// timers is a heap of timers.
type timers struct {
	n    int
	some []uint64 // the first of the heap, all where there are few
}

func (t *Tasks) timers(m process.Memory, list uint64) (out timers, err error) {
	if !t.runtime.IsBuiltin(m, list, "list") {
		return out, errNoQueue
	}
	n, err := t.runtime.Length(m, list)
	if err != nil || n > maxQueued {
		return out, errors.Join(errNoQueue, err)
	}
	const items = 24 // PyListObject.ob_item
	at, err := words.At(m, list+items)
	if err != nil {
		return out, err
	}
	out.n = int(n)
	if n > 0 {
		if n > maxTimers {
			n = 1 // it is the first, if it is not cancelled
		}
		out.some, err = words.Array(m, at, n)
	}
	return out, err
}

// first returns when the first of some timers is due that is not cancelled, 0 where none can be found.
func (t *Tasks) first(m process.Memory, timers []uint64) (first float64) {
	events, err := t.runtime.Module(m, t.interp, "asyncio.events")
	if err != nil {
		return 0
	}
	handle, err := t.runtime.Item(m, events, "Handle")
	if err != nil {
		return 0
	}
	timer, err := t.runtime.Item(m, events, "TimerHandle")
	if err != nil {
		return 0
	}
	offWhen, err := t.runtime.Slot(m, timer, "_when")
	if err != nil {
		return 0
	}
	offCancelled, err := t.runtime.Slot(m, handle, "_cancelled")
	if err != nil {
		return 0
	}
	for i, at := range timers {
		if !t.runtime.IsA(m, at, timer) {
			return 0
		}
		flag, err := words.At(m, at+offCancelled)
		if err != nil {
			return 0
		}
		if cancelled, ok := t.runtime.Unsigned(m, flag); !ok || cancelled != 0 {
			continue
		}
		when, ok := t.seconds(m, at+offWhen)
		if !ok {
			return 0
		}
		if first == 0 || when < first {
			first = when
		}
		if i == 0 {
			break // the heap's first
		}
	}
	return first
}

// seconds reads a float that a slot holds.
func (t *Tasks) seconds(m process.Memory, slot uint64) (float64, bool) {
	object, err := words.At(m, slot)
	if err != nil {
		return 0, false
	}
	if !t.runtime.IsBuiltin(m, object, "float") {
		return 0, false
	}
	seconds, err := t.runtime.Float(m, object)
	return seconds, err == nil && seconds > 0
}

// DefaultExecutor returns the address of a loop's default executor, 0 where it has none, or that cannot be told.
func (t *Tasks) DefaultExecutor(m process.Memory, loop uint64) uint64 {
	executor, err := t.runtime.Attribute(m, loop, "_default_executor")
	if err != nil {
		return 0
	}
	return executor
}
