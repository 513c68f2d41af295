// SPDX-License-Identifier: Apache-2.0

// Package listing asks the kernel what threads are doing at this moment. In go process ids, and descriptors of threads; out
// come the threads of these processes with their syscalls, and the sockets behind the descriptors. It hooks nothing: the host
// pays only while it is asked.
package listing

import (
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/abi"
	"github.com/loopwatch/loopwatch/internal/probes/host"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
)

// Listing is the loaded programs. Close it.
type Listing struct {
	objects struct {
		ListThreads   *ebpf.Program `ebpf:"list_threads"`
		ListSockets   *ebpf.Program `ebpf:"list_sockets"`
		Wanted        *ebpf.Map     `ebpf:"wanted"`
		WantedSockets *ebpf.Map     `ebpf:"wanted_sockets"`
	}
	iterators []*link.Iter
	sysExit   func() (uint64, error) // see there; read once
}

// Thread is one thread and what it does, as the kernel knows it.
type Thread struct {
	PID, TID int
	Pointer  uint64 // pthread_self, by which the interpreter knows it
	Running  bool   // on a CPU, or ready for one: what follows about syscalls is not known
	Stopped  bool   // by a signal, a tracer or a freezer
	Syscall  int    // that it sleeps in; -1 none, as in a page fault
	Args     [5]uint64
	// Since is when it last left a CPU, CLOCK_MONOTONIC nanoseconds, so that a thread that sleeps has done
	// so for at least as long; 0 where it runs or the kernel does not tell. It is right to within a tick of
	// the kernel's clock, and no earlier than that.
	Since    int64
	Switches uint64 // how often it has left a CPU so far
	At       int64  // when all this was so
}

// Still reports whether a thread seen twice has slept all the time between.
func (t Thread) Still(later Thread) bool {
	return !t.Running && !later.Running && t.Switches == later.Switches
}

// MaxProcesses bounds the processes of one listing, and maxThreads the threads.
const (
	MaxProcesses = abi.WantedMax
	maxThreads   = 1 << 16
)

// Open loads the programs. Errors are of the kind that Open returns.
func Open() (_ *Listing, err error) {
	if err := host.Check(); err != nil {
		return nil, err
	}
	_, _ = host.Memlock() // loading says it if that was needed
	spec, err := loadListing()
	if err != nil {
		return nil, err
	}
	l := &Listing{sysExit: sync.OnceValues(sysExit)}
	defer func() {
		if err != nil {
			l.Close()
		}
	}()
	if err := spec.LoadAndAssign(&l.objects, nil); err != nil {
		return nil, host.Explain("", fmt.Errorf("load: %w", err))
	}
	for _, p := range []*ebpf.Program{l.objects.ListThreads, l.objects.ListSockets} {
		it, err := link.AttachIter(link.IterOptions{Program: p})
		if err != nil {
			return nil, host.Explain("", fmt.Errorf("attach task iterator: %w", err))
		}
		l.iterators = append(l.iterators, it)
	}
	return l, nil
}

// Close frees the programs.
func (l *Listing) Close() error {
	var errs []error
	for _, it := range l.iterators {
		errs = append(errs, it.Close())
	}
	for _, o := range []io.Closer{l.objects.ListThreads, l.objects.ListSockets, l.objects.Wanted, l.objects.WantedSockets} {
		errs = append(errs, o.Close()) // a nil one is not there to be closed
	}
	return errors.Join(errs...)
}

// Want adds a process to those whose threads are listed.
func (l *Listing) Want(pid int) error {
	if err := l.objects.Wanted.Put(uint32(pid), uint32(1)); err != nil {
		return fmt.Errorf("enter wanted process %d: %w", pid, err)
	}
	return nil
}

// Threads lists the threads of the processes wanted, by thread id.
func (l *Listing) Threads() (map[int]Thread, error) {
	// The scheduler's clock is behind ours by what the least of all differences shows: a CPU's clock stands
	// while nothing happens there. This very CPU has just been busy.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pause := unix.NsecToTimespec(int64(50 * time.Microsecond))
	_ = unix.Nanosleep(&pause, nil) // cut short by a signal: no harm
	seen, err := iterate[abi.ListedThread](l.iterators[0], maxThreads)
	if err != nil {
		return nil, err
	}
	behind := int64(math.MaxInt64)
	for _, k := range seen {
		if k.Clock != 0 {
			behind = min(behind, int64(k.Now-k.Clock))
		}
	}
	out := make(map[int]Thread, len(seen))
	for _, k := range seen {
		d := Thread{
			PID: int(k.Tgid), TID: int(k.Tid), Pointer: k.Pointer, Running: k.State == 0, Stopped: k.Stopped != 0,
			Syscall: int(k.Nr), Args: k.Args, Switches: k.Switches, At: int64(k.Now),
		}
		if k.Left != 0 && k.Clock != 0 && !d.Running {
			d.Since = min(int64(k.Left)+behind, d.At)
		}
		out[d.TID] = d
	}
	return out, nil
}

// MaxFDs is how many descriptors of one thread are described.
const MaxFDs = abi.ListedFds

// Sockets describes those descriptors of some threads, by thread id, that are sockets: the result has a
// Target for each, by thread id.
func (l *Listing) Sockets(ask map[int][]int) (map[int][]wire.Target, error) {
	n := 0
	for tid, fds := range ask {
		if n++; n > int(l.objects.WantedSockets.MaxEntries()) {
			break
		}
		var a abi.WantedFds
		for _, fd := range fds[:min(len(fds), MaxFDs)] {
			a.Fd[a.N] = int32(fd)
			a.N++
		}
		if err := l.objects.WantedSockets.Put(uint32(tid), &a); err != nil {
			return nil, fmt.Errorf("ask for the descriptors of thread %d: %w", tid, err)
		}
	}
	sockets, err := iterate[abi.ListedSocket](l.iterators[1], len(ask)*MaxFDs)
	if err != nil {
		return nil, err
	}
	out := make(map[int][]wire.Target)
	for _, k := range sockets {
		out[int(k.Tid)] = append(out[int(k.Tid)], wire.TargetOf(&k.Target))
	}
	for tid := range ask {
		_ = l.objects.WantedSockets.Delete(uint32(tid))
	}
	return out, nil
}

// iterate runs a task iterator once and returns what it writes, at most so many values.
func iterate[T any](it *link.Iter, most int) ([]T, error) {
	r, err := it.Open()
	if err != nil {
		return nil, fmt.Errorf("open task iterator: %w", err)
	}
	defer r.Close()
	out, err := wire.ReadAll[T](r, most)
	if err != nil {
		return nil, fmt.Errorf("run task iterator: %w", err)
	}
	return out, nil
}
