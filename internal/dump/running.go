// SPDX-License-Identifier: Apache-2.0

package dump

import (
	"context"
	"encoding/binary"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/cause"
	"github.com/loopwatch/loopwatch/internal/clock"
	"github.com/loopwatch/loopwatch/internal/model"
)

// ticks is where a thread was found running by a timer on it.
type ticks struct {
	taken bool     // there was a timer
	user  []uint64 // instruction pointers in user mode
	all   int      // times it was found on a CPU
}

// The samples taken of threads that run: for how long, and as often again while one of them has not had a CPU, how
// often, of how many threads at most.
const (
	sampleFor   = 10 * time.Millisecond
	sampleMore  = 4
	sampleEvery = 250 * time.Microsecond
	maxSampled  = 64
)

// sampleRunning finds out what the loops that run do, by a timer of the kernel's on each of their threads.
func (l *look) sampleRunning(ctx context.Context) {
	type event struct {
		thread *thread
		fd     int
		ring   []byte
	}
	var events []event
	for _, p := range l.procs {
		for _, th := range p.threads {
			if th.status.kind == "" || !th.kernel.Running || len(events) >= maxSampled {
				continue
			}
			fd, err := unix.PerfEventOpen(&unix.PerfEventAttr{
				Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK,
				Sample: uint64(sampleEvery), Sample_type: unix.PERF_SAMPLE_IP, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
			}, th.kernel.TID, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
			if err != nil {
				continue // without it the cause stays open
			}
			ring, err := unix.Mmap(fd, 0, 2*unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			if err != nil {
				_ = unix.Close(fd)
				continue
			}
			events = append(events, event{th, fd, ring})
		}
	}
	if len(events) == 0 {
		return
	}
	for range 1 + sampleMore {
		if !clock.Sleep(ctx, sampleFor) {
			break
		}
		waiting := false
		for _, e := range events {
			e.thread.ticks = readRing(e.ring)
			waiting = waiting || e.thread.ticks.all == 0
		}
		if !waiting {
			break
		}
	}
	for _, e := range events {
		_ = unix.Munmap(e.ring)
		_ = unix.Close(e.fd)
	}
}

// readRing reads the samples of an event's ring buffer: a page about it, and a page of records, each a struct
// perf_event_header and, of a sample, its instruction pointer.
func readRing(ring []byte) ticks {
	const dataHead = 1024 // struct perf_event_mmap_page
	const headerSize = 8
	const modeMask, modeUser = 7, 2 // PERF_RECORD_MISC_CPUMODE_MASK, PERF_RECORD_MISC_USER
	out := ticks{taken: true}
	head := atomic.LoadUint64((*uint64)(unsafe.Pointer(&ring[dataHead])))
	data := ring[len(ring)/2:]
	// Nobody moves the tail on, so that what is there is the beginning and nothing was overwritten.
	for at := uint64(0); at+headerSize <= min(head, uint64(len(data))); {
		size := uint64(binary.NativeEndian.Uint16(data[at+6:]))
		if size < headerSize || at+size > uint64(len(data)) {
			break
		}
		if binary.NativeEndian.Uint32(data[at:]) == unix.PERF_RECORD_SAMPLE && size >= headerSize+8 {
			out.all++
			if binary.NativeEndian.Uint16(data[at+4:])&modeMask == modeUser {
				out.user = append(out.user, binary.NativeEndian.Uint64(data[at+headerSize:]))
			}
		}
		at += size
	}
	runtime.KeepAlive(ring)
	return out
}

// runs says what a loop that runs spends its time in, and the native module if it is one.
func (p *proc) runs(t *thread, gil model.GIL) (model.Cause, string) {
	if !t.ticks.taken {
		return model.CauseUnknown, ""
	}
	user := make([]cause.Run, len(t.ticks.user))
	for i, ip := range t.ticks.user {
		user[i].Module, user[i].Interpreter = p.Modules.Find(ip)
		user[i].GIL = gil
		if user[i].Native() {
			user[i].Function = p.NativeFunction(ip)
		}
	}
	recent := t.status.atWait || t.status.since != 0 && t.kernel.At-t.status.since < int64(sampleFor)
	return cause.OfRuns(t.ticks.all, user, recent)
}
