// SPDX-License-Identifier: Apache-2.0

// Package layout has the kernel know how interpreters lay things out. In go the layouts of runtimes and of their asyncio tasks;
// out come the indexes by which the kernel knows them: one for all processes that are laid out alike, for as long as there are any.
package layout

import (
	"github.com/loopwatch/loopwatch/internal/asyncio"
	"github.com/loopwatch/loopwatch/internal/cpython/release"
	"github.com/loopwatch/loopwatch/internal/probes"
)

// Kernel is what a Table needs of *probes.Probes.
type Kernel interface {
	AddLayout(l probes.Layout, usual bool) (uint32, error)
	ReleaseLayout(index uint32) bool
}

// Table hands out layouts.
type Table struct {
	kernel Kernel
	usual  map[probes.Layout]bool
}

// New returns a table that enters layouts in the kernel.
func New(k Kernel) *Table { return &Table{k, usual()} }

// usual are the layouts of releases as they are usually built, for stacks and for tasks.
func usual() map[probes.Layout]bool {
	out := make(map[probes.Layout]bool)
	oldest, newest := release.Supported()
	for minor := oldest; minor <= newest; minor++ {
		l, ok := release.Usual(minor)
		if !ok {
			continue
		}
		out[ofStacks(&l)] = true
		if tasks, ok := asyncio.Usual(minor); ok {
			out[ofTasks(&l, tasks)] = true
		}
	}
	return out
}

// Held are the layouts of one process. The zero value has none.
type Held struct {
	stacks  uint32
	tasks   *probes.Layout // nil until it is known
	indexes []uint32
}

// Stacks returns the index of the layout by which stacks are walked.
func (h *Held) Stacks() uint32 { return h.stacks }

// AddStacks enters the layout by which the stacks of a process are walked. Where there is no room, the error matches
// probes.ErrLayouts.
func (t *Table) AddStacks(h *Held, l *release.Layout) (err error) {
	h.stacks, err = t.add(h, ofStacks(l))
	return err
}

// AddTasks enters the layout that names the tasks of a process, and returns its index. All its interpreters have one: another is
// refused, as where there is no room.
func (t *Table) AddTasks(h *Held, l *release.Layout, tasks asyncio.Layout) (uint32, error) {
	return t.addTasks(h, ofTasks(l, tasks))
}

func (t *Table) addTasks(h *Held, l probes.Layout) (uint32, error) {
	if h.tasks != nil {
		if *h.tasks != l {
			return 0, probes.ErrLayouts
		}
		return h.indexes[len(h.indexes)-1], nil
	}
	index, err := t.add(h, l)
	if err == nil {
		h.tasks = &l
	}
	return index, err
}

func (t *Table) add(h *Held, l probes.Layout) (uint32, error) {
	index, err := t.kernel.AddLayout(l, t.usual[l])
	if err == nil {
		h.indexes = append(h.indexes, index)
	}
	return index, err
}

// Release gives back what a process holds, and reports whether there is room for another layout now.
func (t *Table) Release(h *Held) (room bool) {
	for _, index := range h.indexes {
		room = t.kernel.ReleaseLayout(index) || room
	}
	*h = Held{}
	return room
}

// ofStacks is the kernel's form of a layout.
func ofStacks(l *release.Layout) probes.Layout {
	return probes.Layout{
		TstateThreadId: l.ThreadID, TstateFrame: l.ThreadFrame, ViaCframe: l.ViaCFrame, CframeFrame: l.CFrameFrame,
		FrameCode: l.FrameCode, FramePrevious: l.FrameBack, FrameInstr: l.FrameInstr, FrameOwner: l.FrameOwner,
		ShimOwners: l.ShimOwners, CodeTagMask: l.FrameCodeTag, InstrKind: uint32(l.InstrKind),
		// The two words that the walker makes cpython.CodeCheck of.
		CodeFile: l.CodeFile, CodeLine: l.CodeLine, CodeAdaptive: l.CodeInstrs, FrameLocals: l.FrameLocals,
		TstateNext: l.ThreadNext, GilSize: l.GILSize, GilLocked: l.GILLocked, GilHolder: l.GILLastHolder,
	}
}

// ofTasks is the same with what names the running task.
func ofTasks(l *release.Layout, t asyncio.Layout) probes.Layout {
	k := ofStacks(l)
	k.TstateTask, k.TaskCoro, k.TaskName = t.InThread, t.Coro, t.Name
	k.DictKeys, k.KeysLog2, k.KeysCount, k.KeysIndex = l.DictKeys, l.KeysLog2, l.KeysCount, l.KeysIndex
	k.CoroFrame = l.CoroFrame
	if l.InstrKind == release.InstrPointer { // since frames are no objects of their own
		k.CoroFrameInside = 1
	}
	k.StrLength, k.StrState, k.StrAscii, k.StrCompact = l.StrLength, l.StrState, l.StrASCII, l.StrCompact
	k.StrKindBit, k.StrAsciiBit = l.StrKindBit, l.StrASCIIBit
	return k
}
