// SPDX-License-Identifier: Apache-2.0

package python

import (
	"time"

	"github.com/loopwatch/loopwatch/internal/cpython"
)

// ThreadIDs knows the threads of a process by their thread pointers.
type ThreadIDs struct {
	process *Process
	list    func(pid int) (map[uint64]int, error)
	tids    map[uint64]int
	listed  time.Time
	missed  int64
}

// NewThreadIDs returns the threads of a process, which list lists: the thread ids by thread pointer.
func NewThreadIDs(p *Process, list func(pid int) (map[uint64]int, error)) *ThreadIDs {
	return &ThreadIDs{process: p, list: list}
}

// Missed returns how many threads were looked for and not found.
func (t *ThreadIDs) Missed() int64 { return t.missed }

// relistAfter is how soon the threads of a process are listed again for want of one of them.
const relistAfter = 10 * time.Millisecond

// tid finds the thread with this thread pointer, or that pthread_self calls so.
func (t *ThreadIDs) tid(pointer uint64) (int, bool) {
	if tid, ok := t.tids[pointer]; ok {
		return tid, true
	}
	for known, tid := range t.tids {
		if cpython.IsThread(known, pointer) {
			return tid, true
		}
	}
	return 0, false
}

// Find returns the id and the name of the thread with this thread pointer, 0 where there is none any more. It lists the
// threads anew if need be.
func (t *ThreadIDs) Find(pointer uint64) (tid int, name string) {
	if pointer == 0 {
		return 0, ""
	}
	for range 2 {
		if tid, ok := t.tid(pointer); ok { // the pointer may be that of another thread by now
			if name, err := t.process.ThreadName(tid); err == nil {
				return tid, name
			}
		}
		if time.Since(t.listed) < relistAfter {
			break
		}
		tids, err := t.list(t.process.PID)
		if err != nil {
			break
		}
		t.tids, t.listed = tids, time.Now()
	}
	t.missed++
	return 0, ""
}
