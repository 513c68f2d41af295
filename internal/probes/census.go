// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/abi"
	"github.com/loopwatch/loopwatch/internal/probes/host"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
)

// Census asks the kernel what threads are doing at this moment. It hooks nothing: the host pays
// while it is asked only. Close it.
type Census struct {
	objects struct {
		ListThreads   *ebpf.Program `ebpf:"list_threads"`
		ListSockets   *ebpf.Program `ebpf:"list_sockets"`
		Wanted        *ebpf.Map     `ebpf:"wanted"`
		WantedSockets *ebpf.Map     `ebpf:"wanted_sockets"`
	}
	iterators []*link.Iter
}

// Doing is what one thread does, as the kernel knows it.
type Doing struct {
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

// Still tells whether a thread seen twice has slept all the time between.
func (d Doing) Still(later Doing) bool {
	return !d.Running && !later.Running && d.Switches == later.Switches
}

// MaxCensus bounds the processes and the threads of one census.
const (
	MaxCensusProcesses = abi.WantedMax
	maxCensusThreads   = 1 << 16
)

// OpenCensus loads the programs. Errors are of the kind that Open returns.
func OpenCensus() (_ *Census, err error) {
	if err := host.Check(); err != nil {
		return nil, err
	}
	_ = rlimit.RemoveMemlock() // before 5.11; loading says it if that was needed
	spec, err := loadListing()
	if err != nil {
		return nil, err
	}
	c := &Census{}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	if err := spec.LoadAndAssign(&c.objects, nil); err != nil {
		return nil, host.Explain("", fmt.Errorf("load: %w", err))
	}
	for _, p := range []*ebpf.Program{c.objects.ListThreads, c.objects.ListSockets} {
		it, err := link.AttachIter(link.IterOptions{Program: p})
		if err != nil {
			return nil, host.Explain("", fmt.Errorf("attach task iterator: %w", err))
		}
		c.iterators = append(c.iterators, it)
	}
	return c, nil
}

// Close frees the programs.
func (c *Census) Close() error {
	var errs []error
	for _, it := range c.iterators {
		errs = append(errs, it.Close())
	}
	for _, o := range []io.Closer{c.objects.ListThreads, c.objects.ListSockets, c.objects.Wanted, c.objects.WantedSockets} {
		errs = append(errs, o.Close()) // a nil one is not there to be closed
	}
	return errors.Join(errs...)
}

// Want adds a process to those whose threads are listed.
func (c *Census) Want(pid int) error {
	if err := c.objects.Wanted.Put(uint32(pid), uint32(1)); err != nil {
		return fmt.Errorf("enter wanted process %d: %w", pid, err)
	}
	return nil
}

// Threads lists the threads of the processes wanted, by thread id.
func (c *Census) Threads() (map[int]Doing, error) {
	// The scheduler's clock is behind ours by what the least of all differences shows: a CPU's clock stands
	// while nothing happens there. This very CPU has just been busy.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pause := unix.NsecToTimespec(int64(50 * time.Microsecond))
	_ = unix.Nanosleep(&pause, nil) // cut short by a signal: no harm
	const size = int(unsafe.Sizeof(abi.ListedThread{}))
	text := limited{left: maxCensusThreads * size}
	if err := c.iterate(0, &text); err != nil {
		return nil, err
	}
	var seen []abi.ListedThread
	behind := int64(math.MaxInt64)
	for b := text.b; len(b) >= size; b = b[size:] {
		var k abi.ListedThread
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&k)), size), b)
		seen = append(seen, k)
		if k.Clock != 0 {
			behind = min(behind, int64(k.Now-k.Clock))
		}
	}
	out := make(map[int]Doing, len(seen))
	for _, k := range seen {
		d := Doing{
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

// CensusFDs is how many descriptors of one thread are described.
const CensusFDs = abi.ListedFds

// Sockets describes those descriptors of some threads, by thread id, that are sockets: the result has a
// Target for each, by thread id.
func (c *Census) Sockets(ask map[int][]int) (map[int][]wire.Target, error) {
	n := 0
	for tid, fds := range ask {
		if n++; n > int(c.objects.WantedSockets.MaxEntries()) {
			break
		}
		var a abi.WantedFds
		for _, fd := range fds[:min(len(fds), CensusFDs)] {
			a.Fd[a.N] = int32(fd)
			a.N++
		}
		if err := c.objects.WantedSockets.Put(uint32(tid), &a); err != nil {
			return nil, fmt.Errorf("ask for the descriptors of thread %d: %w", tid, err)
		}
	}
	const size = int(unsafe.Sizeof(abi.ListedSocket{}))
	text := limited{left: len(ask) * CensusFDs * size}
	if err := c.iterate(1, &text); err != nil {
		return nil, err
	}
	out := make(map[int][]wire.Target)
	for b := text.b; len(b) >= size; b = b[size:] {
		var k abi.ListedSocket
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&k)), size), b)
		out[int(k.Tid)] = append(out[int(k.Tid)], wire.TargetOf(&k.Target))
	}
	for tid := range ask {
		_ = c.objects.WantedSockets.Delete(uint32(tid))
	}
	return out, nil
}

func (c *Census) iterate(n int, output io.Writer) error {
	r, err := c.iterators[n].Open()
	if err != nil {
		return fmt.Errorf("open task iterator: %w", err)
	}
	defer r.Close()
	if _, err := io.Copy(output, r); err != nil {
		return fmt.Errorf("run task iterator: %w", err)
	}
	return nil
}
