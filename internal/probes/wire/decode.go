// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"unsafe"

	"github.com/loopwatch/loopwatch/internal/abi"
)

// StacklessOf returns the time without a stack, of which c is the longest stretch.
func StacklessOf(total uint64, c *abi.Stackless) Stackless {
	if c.Ns == 0 {
		return Stackless{TotalNS: int64(total)}
	}
	return Stackless{TotalNS: int64(total), At: int64(c.At), NS: int64(c.Ns), Syscall: int(c.Nr), Args: c.Args}
}

// LateOf returns how late a wait returned.
func LateOf(c *abi.Late) Late {
	return Late{
		NS: int64(c.Ns), ThrottledNS: int64(c.ThrottledNs), StoppedNS: int64(c.StoppedNs), RanNS: int64(c.RanNs), AsleepNS: int64(c.AsleepNs),
	}
}

// Decoder turns records into events. The zero value is ready. It is not safe for concurrent use.
type Decoder struct {
	holders map[uint32]*abi.Holder // by thread id of the loop: its sample comes next
}

// maxHolders bounds the holders whose sample is still to come. Those of samples that were lost
// stay until then.
const maxHolders = 1024

// Decode turns one record into an event, or says what is wrong with it. A holder is no event of
// its own: it goes with its sample.
func (d *Decoder) Decode(raw []byte) (Event, error) {
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
			StoppedNS: int64(c.StoppedNs), ReadyAt: int64(c.ReadyAt), Samples: int(c.Samples), Stackless: StacklessOf(c.StacklessNs, &c.Stackless),
			Late: LateOf(&c.Late), Exited: c.Flags&abi.BlockExited != 0, Seeded: c.Flags&abi.BlockSeeded != 0,
		}, nil
	case abi.RecordDelayed:
		var c abi.DelayedRecord
		if err := fill(&c, raw, unsafe.Offsetof(c.Source)); err != nil {
			return nil, err
		}
		return delayedOf(&c), nil
	case abi.RecordUsdt:
		var c abi.UsdtAccount
		if err := fill(&c, raw, unsafe.Sizeof(c)); err != nil {
			return nil, err
		}
		return AccountOf(&c), nil
	case abi.RecordExec, abi.RecordExit, abi.RecordCrossed:
		var c abi.LifeRecord
		if err := fill(&c, raw, unsafe.Sizeof(c)); err != nil {
			return nil, err
		}
		switch kind {
		case abi.RecordExec:
			return &Exec{PID: int(c.Tgid), TID: int(c.Tid)}, nil
		case abi.RecordCrossed:
			return &HalfBlock{PID: int(c.Tgid), TID: int(c.Tid)}, nil
		}
		return &Exit{PID: int(c.Tgid), TID: int(c.Tid), Last: c.Last != 0}, nil
	default:
		return nil, fmt.Errorf("record of unknown type %d", kind)
	}
}

// HeldSampleOf returns a sample that the kernel side holds back.
func HeldSampleOf(held *abi.HeldSample) *Sample {
	c := &held.Sample
	s := sampleOf(c)
	s.Stack = stackOf(&c.Stack, int(unsafe.Sizeof(c.Stack.Frames)))
	s.Holder = holderOf(&held.Holder, c)
	return s
}

func sampleOf(c *abi.Sample) *Sample {
	s := &Sample{
		TID: int(c.Tid), Period: c.Period, Kind: SampleKind(c.Kind), At: int64(c.At), NS: int64(c.Ns), CPUNS: int64(c.CpuNs),
		WaitedNS: int64(c.WaitedNs), ThrottledNS: int64(c.ThrottledNs), Stopped: c.Stopped != 0,
		IP: c.Ip, Syscall: int(c.Nr), Args: c.Args, State: c.State, Target: TargetOf(&c.Target),
		Kernel: slices.Clone(c.Kernel[:min(int(c.KernelDepth), len(c.Kernel))]),
		GC:     c.Flags&abi.FlagGc != 0, GIL: gilOf(c.Flags), Phase: Phase(c.Phase),
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

// ReadAll reads what an iterator of the kernel side writes: values of T one after the other, of which it returns the first
// `most`.
func ReadAll[T any](r io.Reader, most int) ([]T, error) {
	size := int(unsafe.Sizeof(*new(T)))
	raw, err := io.ReadAll(io.LimitReader(r, int64(most)*int64(size)))
	if err != nil {
		return nil, err
	}
	out := make([]T, len(raw)/size)
	for i := range out {
		if err := fill(&out[i], raw[i*size:(i+1)*size], uintptr(size)); err != nil {
			return nil, err
		}
	}
	return out, nil
}
