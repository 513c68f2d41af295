// SPDX-License-Identifier: Apache-2.0

package asyncio

import (
	"slices"
	"strings"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/cpython/object"
	"github.com/loopwatch/loopwatch/internal/cpython/words"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/process"
)

// A class of what tasks wait for.
type class struct {
	module, name string
	kind         model.WaitKind
}

// timeout is what kindOf says of asyncio.Timeout, which nobody waits for.
const timeout model.WaitKind = "timeout"

// classes are asyncio's and anyio's own.
var classes = []class{
	{"asyncio.locks", "Lock", model.WaitLock},
	{"asyncio.locks", "Semaphore", model.WaitSemaphore},
	{"asyncio.locks", "Condition", model.WaitCondition},
	{"asyncio.locks", "Event", model.WaitEvent},
	{"asyncio.locks", "Barrier", model.WaitBarrier}, // 3.11 on
	{"asyncio.queues", "Queue", model.WaitQueue},
	{"asyncio.timeouts", "Timeout", timeout}, // 3.11 on
	{"anyio._core._synchronization", "Lock", model.WaitLock},
	{"anyio._core._synchronization", "Semaphore", model.WaitSemaphore},
	{"anyio._core._synchronization", "Condition", model.WaitCondition},
	{"anyio._core._synchronization", "Event", model.WaitEvent},
	{"anyio._core._synchronization", "CapacityLimiter", model.WaitSemaphore},
}

// primitives says which of the classes an object belongs to. It remembers types, so it is for one moment only.
type primitives struct {
	tasks *Tasks
	known map[uint64]model.WaitKind // by the address of the class; nil until it is first asked for
	types map[uint64]model.WaitKind // of classes derived from them
}

// find finds the classes of what is imported.
func (p *primitives) find(m process.Memory) {
	t := p.tasks
	p.known = make(map[uint64]model.WaitKind)
	modules := make(map[string]uint64)
	for _, c := range classes {
		module, ok := modules[c.module]
		if !ok {
			module, _ = t.runtime.Module(m, t.interp, c.module) // 0: it is not imported
			modules[c.module] = module
		}
		if module == 0 {
			continue
		}
		if class, err := t.runtime.Item(m, module, c.name); err == nil {
			p.known[class] = c.kind
		}
	}
}

// maxTypes bounds the types that are remembered.
const maxTypes = 1 << 12

// kindOf returns what an object is, "" where it is nothing that tasks wait for.
func (p *primitives) kindOf(m process.Memory, object uint64) (kind model.WaitKind) {
	if object == 0 {
		return ""
	}
	if p.known == nil {
		p.find(m)
	}
	own := uint64(0) // its own type
	for typ := range p.tasks.runtime.Lineage(m, object) {
		if own == 0 {
			if known, ok := p.types[typ]; ok {
				return known
			}
			own = typ
		}
		if kind = p.known[typ]; kind != "" {
			break
		}
	}
	if own != 0 && len(p.types) < maxTypes {
		p.types[own] = kind
	}
	return kind
}

// lockOf returns the lock of a condition, or the lock itself.
func (p *primitives) lockOf(m process.Memory, object uint64) uint64 {
	if p.kindOf(m, object) != model.WaitCondition {
		return object
	}
	lock, err := p.tasks.runtime.Attribute(m, object, "_lock")
	if err != nil {
		return 0
	}
	return lock
}

// locked reports whether a lock of asyncio's says that it is locked; one of another make always does.
func (t *Tasks) locked(m process.Memory, lock uint64) bool {
	value, err := t.runtime.Attribute(m, lock, "_locked")
	if err != nil {
		return true
	}
	n, ok := t.runtime.Unsigned(m, value)
	return ok && n == 1
}

// Held is something that a task has entered by "async with" and not left.
type Held struct {
	Object uint64 // a lock, of a condition its lock
	// At says which of the frames holds it, from the outermost.
	At int
	// Timeout says that it is no lock: what the frames further in wait for ends by itself.
	Timeout bool
}

// maxHeld bounds what one task holds.
const maxHeld = 64

// held returns what the frames of a task hold, outermost first. What it has let go to wait for a condition is left out.
func (r *waitingReader) held(m process.Memory, entered *cpython.Entered, frames []cpython.Suspended, suspended bool) (out []Held) {
	for at, frame := range frames {
		if place := r.functions.of(m, frame.Frame.Code); place.name == "wait" && r.kindOf(m, frame.Self) == model.WaitCondition {
			lock := r.lockOf(m, frame.Self)
			out = slices.DeleteFunc(out, func(h Held) bool { return !h.Timeout && h.Object == lock })
			continue
		}
		objects, err := entered.By(m, frame.Addr, frame.Frame, suspended)
		if err != nil {
			continue // there is no evidence
		}
		for _, object := range objects {
			if len(out) >= maxHeld {
				return out
			}
			switch r.kindOf(m, object) {
			case timeout:
				out = append(out, Held{At: at, Timeout: true})
			case model.WaitLock, model.WaitCondition:
				if lock := r.lockOf(m, object); lock != 0 && r.primitives.tasks.locked(m, lock) {
					out = append(out, Held{Object: lock, At: at})
				}
			}
		}
	}
	return out
}

// functions recognizes the code of asyncio's and anyio's functions. It remembers code objects, so it is for one moment only.
type functions struct {
	tasks *Tasks
	known map[uint64]place
}

// place is one of their functions.
type place struct {
	file string // from "/asyncio/" or "/anyio/" on, "" for other code
	name string
}

// maxFunctions bounds the code objects that are remembered, maxFunctionCode the bytes read of one.
const (
	maxFunctions    = 1 << 14
	maxFunctionCode = 64 << 10
)

// of returns which function a code object is of.
func (f *functions) of(m process.Memory, code uint64) place {
	found, ok := f.known[code]
	if ok {
		return found
	}
	if read := f.tasks.runtime.ReadCodes(m, []uint64{code}, maxFunctionCode)[0]; read.Err == nil {
		for _, dir := range []string{"/asyncio/", "/anyio/"} {
			if at := strings.LastIndex(read.Code.File, dir); at >= 0 {
				found = place{read.Code.File[at:], read.Code.Name}
			}
		}
	}
	if len(f.known) < maxFunctions {
		f.known[code] = found
	}
	return found
}

// isFutureOfThreads reports whether an object is a future of concurrent.futures.
func (p *primitives) isFutureOfThreads(m process.Memory, names *object.TypeNames, object uint64) bool {
	if name, _ := names.Of(m, object); name != "Future" {
		return false
	}
	_, err := p.tasks.runtime.Attribute(m, object, "_done_callbacks") // asyncio's own has none of that name
	return err == nil
}

// waiter returns the future that a task waits for, 0 where it waits for none.
func (t *Tasks) waiter(m process.Memory, task uint64) uint64 {
	waiter, err := words.At(m, task+uint64(t.Coro)-8)
	if err != nil {
		return 0
	}
	return waiter
}
