// SPDX-License-Identifier: Apache-2.0

package asyncio

import (
	"strings"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/cpython/words"
	"github.com/loopwatch/loopwatch/internal/process"
)

// RunningLoop returns the address of the event loop that a thread runs, 0 where it runs none or where
// that cannot be told.
func (t *Tasks) RunningLoop(m process.Memory, thread cpython.Thread) uint64 {
	if at := max(t.debug.RunningLoop, t.runtime.Layout.ThreadLoop); at != 0 {
		loop, err := words.At(m, thread.Addr+uint64(at))
		if err != nil {
			return 0
		}
		return loop
	}
	dict, err := words.At(m, thread.Addr+uint64(t.runtime.Layout.ThreadDict))
	if err != nil || dict == 0 {
		return 0
	}
	holder, err := t.runtime.Item(m, dict, "__asyncio_running_event_loop__")
	if err != nil {
		return 0
	}
	loop := holder
	if t.runtime.Version.Minor() < 12 {
		const held = 16 // PyRunningLoopHolder.rl_loop
		if loop, err = words.At(m, holder+held); err != nil {
			return 0
		}
	}
	if typ, err := t.runtime.TypeOf(m, loop); err != nil {
		return 0
	} else if name, made, err := t.runtime.TypeName(m, typ); err != nil || !made && name == "NoneType" {
		return 0
	}
	return loop
}

// RunsUVLoop reports whether asyncio has a thread run a uvloop.
func (t *Tasks) RunsUVLoop(m process.Memory, thread cpython.Thread) bool {
	loop := t.RunningLoop(m, thread)
	return loop != 0 && t.IsUVLoop(m, loop)
}

// IsUVLoop reports whether the event loop at this address is a uvloop, or of a class made from it.
func (t *Tasks) IsUVLoop(m process.Memory, loop uint64) bool {
	typ, err := t.runtime.TypeOf(m, loop)
	for range 4 {
		if err != nil || typ == 0 {
			return false
		}
		if name, _, err := t.runtime.TypeName(m, typ); err == nil && strings.HasPrefix(name, "uvloop.") {
			return true
		}
		typ, err = t.runtime.Base(m, typ)
	}
	return false
}
