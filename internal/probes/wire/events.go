// SPDX-License-Identifier: Apache-2.0

// Package wire decodes what the kernel side writes. In go records of the ring buffer and map values, as package abi declares
// them; out come typed events, stacks and targets. A record may be short or hostile, and is then an error. The package
// reads no map and asks no process.
package wire

import (
	"net/netip"

	"github.com/loopwatch/loopwatch/internal/abi"
)

// Event is one of *Wait, *Sample, *Account, *Block, *Delayed, *HalfBlock, *Exec, *Exit.
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
	Phase       Phase // that it was taken in
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
	Late        Late // of the wait before it
	Samples     int  // sent for it
	Exited      bool // the thread ended in the middle
	Seeded      bool // it was going on when first seen: Start is when that was
}

// Late is how late a wait returned: for so long the loop could have gone on, and was not let run. Before it may lie an iteration
// that is joined with the one behind it.
type Late struct {
	NS          int64
	ThrottledNS int64 // of it, held back by a cgroup's quota
	StoppedNS   int64 // of it, stopped by a signal, a tracer or a freezer
	RanNS       int64 // of it, on the CPU in the iteration before
	AsleepNS    int64 // of it, asleep there
}

// Stackless is time asleep in a period that no sample has, because no stack could be taken when it began.
type Stackless struct {
	TotalNS int64
	// The longest stretch of it: when it began, and what it slept in.
	At, NS  int64
	Syscall int // -1: none
	Args    [3]uint64
}

// Delayed says how many events waited for a block to end, which came before: what the first wait
// after it returned at once. A wait returns no more than the loop has room for.
type Delayed struct {
	TID    int
	Period uint64
	Events int64
	Timer  bool // the loop's next timer came due in the block
	By     []Source
}

func (*Delayed) event() {}

// SourceKind says what events came from.
type SourceKind uint8

const (
	OtherSource     = SourceKind(abi.SourceOther)
	InetSource      = SourceKind(abi.SourceInet)   // Address, Protocol, Datagram
	UnixSource      = SourceKind(abi.SourceUnix)   // Name
	PairSource      = SourceKind(abi.SourcePair)   // a unix socket without a name on either side
	SocketSource    = SourceKind(abi.SourceSocket) // of another family
	PipeSource      = SourceKind(abi.SourcePipe)
	AnonymousSource = SourceKind(abi.SourceAnonymous) // Name, such as "[eventfd]"
	PidfdSource     = SourceKind(abi.SourcePidfd)
	DeviceSource    = SourceKind(abi.SourceDevice)
)

// Source is what some of the events that a wait returned came from.
type Source struct {
	Kind     SourceKind
	Events   int64
	Address  netip.AddrPort // the socket's own
	Protocol uint8
	Datagram bool
	Name     string // bytes of the process's making, of an abstract socket with NUL before it
	// Rank is how many descriptors of its kind have a number between the epoll instance's and its own, -1 where that is unknown.
	Rank int
}

// HalfBlock says that a loop sleeps in a period that is half a block by now. It may come late or not
// at all.
type HalfBlock struct{ PID, TID int }

// Exec says that a process has become another program.
type Exec struct{ PID, TID int }

// Exit says that a thread has ended; Last, that its process has.
type Exit struct {
	PID, TID int
	Last     bool
}

func (*Wait) event()      {}
func (*Sample) event()    {}
func (*Block) event()     {}
func (*HalfBlock) event() {}
func (*Exec) event()      {}
func (*Exit) event()      {}
