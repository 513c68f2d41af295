// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"
	"unsafe"

	"github.com/cilium/ebpf/ringbuf"

	"github.com/loopwatch/loopwatch/internal/abi"
)

// Event is one of *Wait, *Sample, *Inside, *Block, *Delayed, *Crossed, *Exec, *Exit.
type Event interface{ event() }

// Wait announces that a thread waits on an epoll descriptor nobody has judged yet. FD is -1
// for a thread that Seed found outside any wait. Stack is nil where the kernel could not walk.
type Wait struct {
	PID, TID int
	FD       int
	ThreadID uint64 // thread pointer
	Period   uint64
	Stack    *Stack
}

// SampleKind tells how a sample came about.
type SampleKind uint32

const (
	Off  = SampleKind(abi.SampleOff)  // a stretch off the CPU
	Tick = SampleKind(abi.SampleTick) // found running
)

// Sample is one stack of one active period. Times are CLOCK_MONOTONIC nanoseconds.
type Sample struct {
	TID         int
	Period      uint64
	Kind        SampleKind
	At          int64 // Off: left the CPU; Tick: the tick
	NS          int64 // Off: time asleep, with the shorter stretches since the sample before
	CPUNS       int64 // on the CPU in the period up to At
	WaitedNS    int64 // runnable without a CPU in the period up to the sample's end
	ThrottledNS int64 // of that, held back by a cgroup's quota
	Stopped     bool  // by a signal, a tracer or a freezer
	IP          uint64
	Syscall     int // -1: none
	Args        [3]uint64
	State       uint32   // task state while off the CPU
	Kernel      []uint64 // kernel stack of an uninterruptible sleep, innermost first
	Target      Target
	GC          bool // the interpreter's garbage collector was running
	GIL         GIL  // whether the thread held it
	Holder      *Holder
	Task        *Task // the asyncio task whose coroutine is on the stack, nil where none was seen
	Room        Room  // that it was taken in
	Callback    Callback
	Stack       Stack
}

// Callback is the frame directly inside the loop's that calls callbacks, or with CallerRoot the
// outermost one. Frame is 0 where none was seen.
type Callback struct {
	Frame, Local uint64 // its address, and its first local variable
	Generator    bool   // the frame is a coroutine's or generator's (3.11 on)
}

// CallerRoot as ThreadConfig.Caller has every stack be one callback's own.
const CallerRoot = abi.CallerRoot

// GIL says whether a thread held the GIL.
type GIL uint8

const (
	GILUnknown GIL = iota
	GILReleased
	GILHeld
)

// Holder is the thread that held the GIL when a loop began to wait for it, or the one that woke
// a loop by releasing the lock it waited for.
type Holder struct {
	ThreadID uint64 // its thread pointer, 0 unknown
	PID, TID int    // 0 unknown; PID is set where it is another process
	Comm     string // where TID is known
	Stack    Stack
}

// Task is an asyncio task as the kernel saw it at the moment of a sample. Object holds the
// beginning of the object that names it.
type Task struct {
	Addr   uint64
	Name   uint64 // address of that object: a str, or an int N that stands for Task-N
	Object []byte
	Depth  int // frames nearer to the leaf than its coroutine's, in the whole stack
}

// Block is an active period of at least the threshold that has ended. Its samples came before.
type Block struct {
	PID, TID    int
	Period      uint64
	Start, End  int64 // CLOCK_MONOTONIC nanoseconds
	OffNS       int64 // off the CPU
	WaitedNS    int64 // of that, runnable without a CPU, preempted or woken
	ThrottledNS int64 // of that, held back by a cgroup's quota
	StoppedNS   int64 // of OffNS, stopped by a signal, a tracer or a freezer
	ReadyAt     int64 // the first event that waited for it to end, 0 not known (fentry only)
	Stackless   Stackless
	Samples     int  // sent for it
	Exited      bool // the thread ended in the middle
	Seeded      bool // it was going on when first seen: Start is when that was
}

// Stackless is time asleep in a period that no sample has, because no stack could be taken when it began.
type Stackless struct {
	TotalNS int64
	// The longest stretch of it: when it began, and what it slept in.
	At, NS  int64
	Syscall int // -1: none
	Args    [3]uint64
}

func stacklessOf(total uint64, c *abi.Stackless) Stackless {
	if c.Ns == 0 {
		return Stackless{TotalNS: int64(total)}
	}
	return Stackless{TotalNS: int64(total), At: int64(c.At), NS: int64(c.Ns), Syscall: int(c.Nr), Args: c.Args}
}

// Delayed says how many events waited for a block to end, which came before: what the first wait
// after it returned at once. A wait returns no more than the loop has room for.
type Delayed struct {
	TID    int
	Period uint64
	Events int64
}

func (*Delayed) event() {}

// Crossed says that a loop sleeps in a period that is half a block by now. It may come late or not
// at all.
type Crossed struct{ PID, TID int }

// Exec says that a process has become another program.
type Exec struct{ PID, TID int }

// Exit says that a thread has ended; Last, that its process has.
type Exit struct {
	PID, TID int
	Last     bool
}

func (*Wait) event()    {}
func (*Sample) event()  {}
func (*Block) event()   {}
func (*Crossed) event() {}
func (*Exec) event()    {}
func (*Exit) event()    {}

// ErrClosed is returned by Read after Close.
var ErrClosed = errors.New("probes are closed")

// ErrDeadline is returned by Read when the deadline passes without a record.
var ErrDeadline = errors.New("no record before the deadline")

// Reader decodes records. Not safe for concurrent use.
type Reader struct {
	ring *ringbuf.Reader
	raw  ringbuf.Record
	read uint64 // bytes
	decoder
}

// decoder turns records into events.
type decoder struct {
	holders map[uint32]*abi.Holder // by thread id of the loop: its sample comes next
}

// Reader returns a reader of the events. Use only one at a time.
func (p *Probes) Reader() *Reader { return &Reader{ring: p.reader} }

// Read waits for the next event until the deadline; a deadline in the past returns at once.
// The event is the caller's to keep.
func (r *Reader) Read(deadline time.Time) (Event, error) {
	r.ring.SetDeadline(deadline)
	for {
		err := r.ring.ReadInto(&r.raw)
		switch {
		case errors.Is(err, ringbuf.ErrClosed):
			return nil, ErrClosed
		case err != nil:
			return nil, ErrDeadline
		}
		r.read += recordSize(len(r.raw.RawSample))
		if e, err := r.decode(r.raw.RawSample); e != nil || err != nil {
			return e, err
		}
	}
}

// Position returns how many bytes of records have been read.
func (r *Reader) Position() uint64 { return r.read }

// End returns where the records end by now, in the terms of Position.
func (r *Reader) End() uint64 { return r.read + uint64(r.ring.AvailableBytes()) }

// recordSize is what a record takes in the ring buffer (kernel/bpf/ringbuf.c): a header of 8
// bytes, and padding to as many.
func recordSize(n int) uint64 { return uint64(n+15) &^ 7 }

// maxHolders bounds the holders whose sample is still to come. Those of samples that were lost
// stay until then.
const maxHolders = 1024

// decode turns one record into an event, or says what is wrong with it. A holder is no event of
// its own: it goes with its sample.
func (d *decoder) decode(raw []byte) (Event, error) {
	if len(raw) < 4 {
		return nil, fmt.Errorf("record of %d bytes", len(raw))
	}
	switch kind := *(*uint32)(unsafe.Pointer(unsafe.SliceData(raw[:4:4]))); kind {
	case abi.RecordWait:
		var c abi.WaitRecord
		if err := fill(&c, raw, framesAt(unsafe.Offsetof(c.Stack))); err != nil {
			return nil, err
		}
		w := &Wait{PID: int(c.Tgid), TID: int(c.Tid), FD: int(c.Fd), ThreadID: c.ThreadId, Period: c.Period}
		if c.HasStack != 0 {
			s := stackOf(&c.Stack, len(raw)-int(framesAt(unsafe.Offsetof(c.Stack))))
			w.Stack = &s
		}
		return w, nil
	case abi.RecordSample:
		var c abi.Sample
		if err := fill(&c, raw, framesAt(unsafe.Offsetof(c.Stack))); err != nil {
			return nil, err
		}
		s := sampleOf(&c)
		s.Stack = stackOf(&c.Stack, len(raw)-int(framesAt(unsafe.Offsetof(c.Stack))))
		if h := d.holders[c.Tid]; h != nil {
			s.Holder = holderOf(h, &c)
			delete(d.holders, c.Tid)
		}
		return s, nil
	case abi.RecordHolder:
		c := new(abi.Holder)
		if err := fill(c, raw, framesAt(unsafe.Offsetof(c.Stack))); err != nil {
			return nil, err
		}
		if d.holders == nil || len(d.holders) >= maxHolders {
			d.holders = make(map[uint32]*abi.Holder)
		}
		d.holders[c.Tid] = c
		return nil, nil
	case abi.RecordBlock:
		var c abi.BlockRecord
		if err := fill(&c, raw, unsafe.Sizeof(c)); err != nil {
			return nil, err
		}
		return &Block{
			PID: int(c.Tgid), TID: int(c.Tid), Period: c.Period, Start: int64(c.Start), End: int64(c.End),
			OffNS: int64(c.OffNs), WaitedNS: int64(c.WaitedNs), ThrottledNS: int64(c.ThrottledNs),
			StoppedNS: int64(c.StoppedNs), ReadyAt: int64(c.ReadyAt), Samples: int(c.Samples), Stackless: stacklessOf(c.StacklessNs, &c.Stackless),
			Exited: c.Flags&abi.BlockExited != 0, Seeded: c.Flags&abi.BlockSeeded != 0,
		}, nil
	case abi.RecordDelayed:
		var c abi.DelayedRecord
		if err := fill(&c, raw, unsafe.Sizeof(c)); err != nil {
			return nil, err
		}
		return &Delayed{TID: int(c.Tid), Period: c.Period, Events: int64(c.Events)}, nil
	case abi.RecordUsdt:
		var c abi.UsdtAccount
		if err := fill(&c, raw, unsafe.Sizeof(c)); err != nil {
			return nil, err
		}
		return insideOf(&c), nil
	case abi.RecordExec, abi.RecordExit, abi.RecordCrossed:
		var c abi.LifeRecord
		if err := fill(&c, raw, unsafe.Sizeof(c)); err != nil {
			return nil, err
		}
		switch kind {
		case abi.RecordExec:
			return &Exec{PID: int(c.Tgid), TID: int(c.Tid)}, nil
		case abi.RecordCrossed:
			return &Crossed{PID: int(c.Tgid), TID: int(c.Tid)}, nil
		}
		return &Exit{PID: int(c.Tgid), TID: int(c.Tid), Last: c.Last != 0}, nil
	default:
		return nil, fmt.Errorf("record of unknown type %d", kind)
	}
}

func sampleOf(c *abi.Sample) *Sample {
	s := &Sample{
		TID: int(c.Tid), Period: c.Period, Kind: SampleKind(c.Kind), At: int64(c.At), NS: int64(c.Ns), CPUNS: int64(c.CpuNs),
		WaitedNS: int64(c.WaitedNs), ThrottledNS: int64(c.ThrottledNs), Stopped: c.Stopped != 0,
		IP: c.Ip, Syscall: int(c.Nr), Args: c.Args, State: c.State, Target: targetOf(&c.Target),
		Kernel: slices.Clone(c.Kernel[:min(int(c.KernelDepth), len(c.Kernel))]),
		GC:     c.Flags&abi.FlagGc != 0, GIL: gilOf(c.Flags), Room: Room(c.Phase),
		Callback: Callback{Frame: c.Callback.Frame, Local: c.Callback.Local, Generator: c.Callback.Owner == abi.OwnerGenerator},
	}
	if k := &c.Task; k.Task != 0 {
		s.Task = &Task{Addr: k.Task, Name: k.Name, Object: slices.Clone(k.Object[:min(int(k.Bytes), len(k.Object))]), Depth: int(k.Depth)}
	}
	return s
}

func gilOf(flags uint32) GIL {
	switch {
	case flags&abi.FlagGilKnown == 0:
		return GILUnknown
	case flags&abi.FlagGilHeld == 0:
		return GILReleased
	}
	return GILHeld
}

// holderOf returns what a holder record says of a sample, nil where it belongs to another one.
func holderOf(c *abi.Holder, s *abi.Sample) *Holder {
	if c.Tid != s.Tid || c.Period != s.Period || c.At != s.At {
		return nil
	}
	h := &Holder{ThreadID: c.ThreadId, PID: int(c.HolderTgid), TID: int(c.HolderTid)}
	if h.TID != 0 {
		comm := unsafe.Slice((*byte)(unsafe.Pointer(&c.Comm[0])), len(c.Comm))
		name, _, _ := bytes.Cut(comm, []byte{0})
		h.Comm = string(name)
	}
	h.Stack = unroll(c.Stack.Frames[:], int(c.Stack.Depth), abi.HolderRoot, c.Stack.Failed != 0)
	return h
}

// fill copies a record over the struct it is, of which at least the first `least` bytes must
// be there; what is missing stays zero.
func fill[T any](to *T, raw []byte, least uintptr) error {
	if uintptr(len(raw)) < least {
		return fmt.Errorf("record %T of %d bytes, shorter than %d", *to, len(raw), least)
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(to)), unsafe.Sizeof(*to)), raw)
	return nil
}
