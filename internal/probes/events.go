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
)

// Event is one of *Wait, *Sample, *Inside, *Block, *Crossed, *Exec, *Exit.
type Event interface{ event() }

// Frame is one frame as the kernel saw it: code object, instruction in code units (-1 not yet
// started, math.MinInt32 unknown) and a check to notice a reused address.
type Frame struct {
	Code  uint64
	Instr int32
	Check uint32
}

// Stack is a Python stack, innermost frame first. Where Cut is not 0, so many frames are
// missing before Frames[CutAt]. Partial says that the walk ended before the root.
type Stack struct {
	Frames  []Frame
	Cut     int
	CutAt   int
	Partial bool
}

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
	Off  = SampleKind(loopwatchSampleKindSAMPLE_OFF)  // a stretch off the CPU
	Tick = SampleKind(loopwatchSampleKindSAMPLE_TICK) // found running
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
const CallerRoot = 1

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

func stacklessOf(total uint64, c *loopwatchStackless) Stackless {
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
	holders map[uint32]*loopwatchHolder // by thread id of the loop: its sample comes next
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
	switch kind := *(*loopwatchRecordType)(unsafe.Pointer(unsafe.SliceData(raw[:4:4]))); kind {
	case loopwatchRecordTypeRECORD_WAIT:
		var c loopwatchWaitRecord
		if err := fill(&c, raw, framesAt(unsafe.Offsetof(c.Stack))); err != nil {
			return nil, err
		}
		w := &Wait{PID: int(c.Tgid), TID: int(c.Tid), FD: int(c.Fd), ThreadID: c.ThreadId, Period: c.Period}
		if c.HasStack != 0 {
			s := stackOf(&c.Stack, len(raw)-int(framesAt(unsafe.Offsetof(c.Stack))))
			w.Stack = &s
		}
		return w, nil
	case loopwatchRecordTypeRECORD_SAMPLE:
		var c loopwatchSample
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
	case loopwatchRecordTypeRECORD_HOLDER:
		c := new(loopwatchHolder)
		if err := fill(c, raw, framesAt(unsafe.Offsetof(c.Stack))); err != nil {
			return nil, err
		}
		if d.holders == nil || len(d.holders) >= maxHolders {
			d.holders = make(map[uint32]*loopwatchHolder)
		}
		d.holders[c.Tid] = c
		return nil, nil
	case loopwatchRecordTypeRECORD_BLOCK:
		var c loopwatchBlockRecord
		if err := fill(&c, raw, unsafe.Sizeof(c)); err != nil {
			return nil, err
		}
		return &Block{
			PID: int(c.Tgid), TID: int(c.Tid), Period: c.Period, Start: int64(c.Start), End: int64(c.End),
			OffNS: int64(c.OffNs), WaitedNS: int64(c.WaitedNs), ThrottledNS: int64(c.ThrottledNs),
			StoppedNS: int64(c.StoppedNs), ReadyAt: int64(c.ReadyAt), Samples: int(c.Samples), Stackless: stacklessOf(c.StacklessNs, &c.Stackless),
			Exited: c.Flags&blockExited != 0, Seeded: c.Flags&blockSeeded != 0,
		}, nil
	case loopwatchRecordTypeRECORD_DELAYED:
		var c loopwatchDelayedRecord
		if err := fill(&c, raw, unsafe.Sizeof(c)); err != nil {
			return nil, err
		}
		return &Delayed{TID: int(c.Tid), Period: c.Period, Events: int64(c.Events)}, nil
	case loopwatchRecordTypeRECORD_INSIDE:
		var c loopwatchInside
		if err := fill(&c, raw, unsafe.Sizeof(c)); err != nil {
			return nil, err
		}
		return insideOf(&c), nil
	case loopwatchRecordTypeRECORD_EXEC, loopwatchRecordTypeRECORD_EXIT, loopwatchRecordTypeRECORD_CROSSED:
		var c loopwatchLifeRecord
		if err := fill(&c, raw, unsafe.Sizeof(c)); err != nil {
			return nil, err
		}
		switch kind {
		case loopwatchRecordTypeRECORD_EXEC:
			return &Exec{PID: int(c.Tgid), TID: int(c.Tid)}, nil
		case loopwatchRecordTypeRECORD_CROSSED:
			return &Crossed{PID: int(c.Tgid), TID: int(c.Tid)}, nil
		}
		return &Exit{PID: int(c.Tgid), TID: int(c.Tid), Last: c.Last != 0}, nil
	default:
		return nil, fmt.Errorf("record of unknown type %d", kind)
	}
}

// OWNER_GENERATOR of bpf/records.h.
const ownerGenerator = 1

// BLOCK_EXITED and BLOCK_SEEDED of bpf/records.h.
const (
	blockExited = 1
	blockSeeded = 2
)

func sampleOf(c *loopwatchSample) *Sample {
	s := &Sample{
		TID: int(c.Tid), Period: c.Period, Kind: SampleKind(c.Kind), At: int64(c.At), NS: int64(c.Ns), CPUNS: int64(c.CpuNs),
		WaitedNS: int64(c.WaitedNs), ThrottledNS: int64(c.ThrottledNs), Stopped: c.Stopped != 0,
		IP: c.Ip, Syscall: int(c.Nr), Args: c.Args, State: c.State, Target: targetOf(&c.Target),
		Kernel: slices.Clone(c.Kernel[:min(int(c.KernelDepth), len(c.Kernel))]),
		GC:     c.Flags&flagGC != 0, GIL: gilOf(c.Flags), Room: Room(c.Room),
		Callback: Callback{Frame: c.Callback.Frame, Local: c.Callback.Local, Generator: c.Callback.Owner == ownerGenerator},
	}
	if k := &c.Task; k.Task != 0 {
		s.Task = &Task{Addr: k.Task, Name: k.Name, Object: slices.Clone(k.Object[:min(int(k.Bytes), len(k.Object))]), Depth: int(k.Depth)}
	}
	return s
}

const (
	flagGC       = uint32(loopwatchSampleFlagFLAG_GC)
	flagGILKnown = uint32(loopwatchSampleFlagFLAG_GIL_KNOWN)
	flagGILHeld  = uint32(loopwatchSampleFlagFLAG_GIL_HELD)
)

func gilOf(flags uint32) GIL {
	switch {
	case flags&flagGILKnown == 0:
		return GILUnknown
	case flags&flagGILHeld == 0:
		return GILReleased
	}
	return GILHeld
}

// holderOf returns what a holder record says of a sample, nil where it belongs to another one.
func holderOf(c *loopwatchHolder, s *loopwatchSample) *Holder {
	if c.Tid != s.Tid || c.Period != s.Period || c.At != s.At {
		return nil
	}
	h := &Holder{ThreadID: c.ThreadId, PID: int(c.HolderTgid), TID: int(c.HolderTid)}
	if h.TID != 0 {
		comm := unsafe.Slice((*byte)(unsafe.Pointer(&c.Comm[0])), len(c.Comm))
		name, _, _ := bytes.Cut(comm, []byte{0})
		h.Comm = string(name)
	}
	h.Stack = unroll(c.Stack.Frames[:], int(c.Stack.Depth), holderRoot, c.Stack.Failed != 0)
	return h
}

// HOLDER_ROOT of bpf/records.h.
const holderRoot = 16

// framesAt is where the frames begin in a record whose stack is at the given offset.
func framesAt(stack uintptr) uintptr { return stack + unsafe.Offsetof(loopwatchStack{}.Frames) }

// fill copies a record over the struct it is, of which at least the first `least` bytes must
// be there; what is missing stays zero.
func fill[T any](to *T, raw []byte, least uintptr) error {
	if uintptr(len(raw)) < least {
		return fmt.Errorf("record %T of %d bytes, shorter than %d", *to, len(raw), least)
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(to)), unsafe.Sizeof(*to)), raw)
	return nil
}

// STACK_LEAF and STACK_ROOT of bpf/records.h.
const (
	stackMax  = len(loopwatchStack{}.Frames)
	stackRoot = 64
	stackLeaf = stackMax - stackRoot
)

// stackOf takes the stack of a record that held so many bytes of Frames.
func stackOf(c *loopwatchStack, bytes int) Stack {
	if kept := bytes / int(unsafe.Sizeof(Frame{})); kept < min(int(c.Depth), stackMax) { // a short record
		return unroll(c.Frames[:max(kept, 0)], max(kept, 0), stackRoot, c.Failed != 0)
	}
	return unroll(c.Frames[:], int(c.Depth), stackRoot, c.Failed != 0)
}

// unroll makes a stack of the frames of a walk: up to len(frames) of them as they come, then the
// last `root` of the places are a ring.
func unroll(from []loopwatchPyFrame, depth, root int, partial bool) Stack {
	frames := unsafe.Slice((*Frame)(unsafe.Pointer(unsafe.SliceData(from))), len(from))
	s := Stack{Partial: partial}
	if depth <= len(frames) {
		s.Frames = append(s.Frames, frames[:depth]...)
		return s
	}
	leaf := len(frames) - root
	next := (depth - leaf) % root // the oldest of the ring
	s.Cut, s.CutAt = depth-len(frames), leaf
	s.Frames = make([]Frame, 0, len(frames))
	s.Frames = append(s.Frames, frames[:leaf]...)
	s.Frames = append(s.Frames, frames[leaf+next:]...)
	s.Frames = append(s.Frames, frames[leaf:leaf+next]...)
	return s
}
