// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/loopwatch/loopwatch/internal/probes/wire"
)

// A task is a thread's if the frame of its coroutine is on the stack; of several the innermost counts.
func TestNativeTask(t *testing.T) {
	bothNatives(t, func(t *testing.T, n native, r *rand.Rand) {
		matched := 8
		if n.unrolled {
			matched = 2
		}
		for range 60 {
			p := newPyProcess(chain(r, 1+r.IntN(60)))
			places, _ := p.walked(n.steps)
			// The dict of running tasks, of which some have a frame here. Deleted entries have no value.
			const dict, keys = tasksAt, tasksAt + 0x100
			log2 := uint64(3 + r.IntN(3))
			entries := make([]byte, 32+(1<<log2)+24*30)
			entries[9] = byte(log2)
			count := r.IntN(12)
			binary.LittleEndian.PutUint64(entries[24:], uint64(count))
			var want *wire.Task
			running, best := 0, len(p.frames)
			for i := range count {
				task := uint64(tasksAt + 0x10000*(i+1))
				if r.IntN(4) == 0 {
					continue
				}
				binary.LittleEndian.PutUint64(entries[32+(1<<log2)+24*i+16:], task)
				frame := uint64(0x77)
				place := -1
				if r.IntN(2) == 0 && len(places) > 0 {
					place = r.IntN(len(places))
					frame = frameAddress(places[place])
				}
				name, object := taskName(r)
				p.put(task, 64, map[int]uint64{8: frame - 64, 16: task + 0x1000})
				fmt.Fprintf(&p.extra, "memory %d %s\n", task+0x1000, hex.EncodeToString(object))
				if running++; running <= matched && place >= 0 && place < best {
					best = place
					want = &wire.Task{Addr: task, Name: task + 0x1000, Object: object[:name], Depth: place}
				}
			}
			p.layout.TstateTask = 0
			p.config.Tasks = dict
			p.put(dict, 64, map[int]uint64{16: keys})
			fmt.Fprintf(&p.extra, "memory %d %s\n", keys, hex.EncodeToString(entries))
			p.tstate(0)
			assert.Equal(t, want, p.walk(t, n, "").Task)
		}
	})
}

// taskName makes a str object with room behind it, and says how many bytes of it are to be read: all of
// the text, up to 128 bytes, and at least 56.
func taskName(r *rand.Rand) (bytes int, object []byte) {
	length, kind, ascii := r.IntN(200), []int{1, 2, 4}[r.IntN(3)], r.IntN(2)
	if ascii == 1 {
		kind = 1
	}
	object = make([]byte, 56+200*4)
	for i := range object {
		object[i] = byte(r.Uint32())
	}
	binary.LittleEndian.PutUint64(object[16:], uint64(length))
	binary.LittleEndian.PutUint32(object[32:], uint32(kind<<2|ascii<<6))
	text := 56
	if ascii == 1 {
		text = 40
	}
	return max(56, min(text+min(length, 128)*kind, 128)), object
}
