// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/abi"
)

// bytesOf is a record as the kernel would send it, cut to n bytes.
func bytesOf[T any](v *T, n uintptr) []byte {
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))[:n]...)
}

func sampleRecord(depth int) []byte {
	var k abi.Sample
	k.Type = uint32(abi.RecordSample)
	k.Tid, k.Period, k.Kind, k.Nr, k.Target.Fd = 7, 9, uint32(abi.SampleOff), 232, -1
	k.Stack.Depth = uint32(depth)
	for i := range depth { // as walk_frame of bpf/python/stack.h places them
		at := i
		if at >= abi.StackLeaf {
			at = abi.StackLeaf + (at-abi.StackLeaf)%abi.StackRoot
		}
		k.Stack.Frames[at] = abi.PyFrame{Code: uint64(i + 1), Instr: int32(i)}
	}
	kept := min(depth, abi.StackMax)
	return bytesOf(&k, framesAt(unsafe.Offsetof(k.Stack))+uintptr(kept)*unsafe.Sizeof(Frame{}))
}

func TestDecodeSampleKeepsLeafAndRoot(t *testing.T) {
	for _, depth := range []int{0, 1, 17, abi.StackLeaf, abi.StackLeaf + 1, abi.StackMax - 1, abi.StackMax, abi.StackMax + 1, abi.StackMax + abi.StackRoot, 1007, 4096} {
		e, err := new(Decoder).Decode(sampleRecord(depth))
		require.NoError(t, err)
		s := e.(*Sample)
		require.Equal(t, 7, s.TID)
		require.Equal(t, -1, s.Target.FD)
		require.Len(t, s.Stack.Frames, min(depth, abi.StackMax), "depth %d", depth)
		want := make([]uint64, 0, abi.StackMax)
		for i := range depth {
			if depth <= abi.StackMax || i < abi.StackLeaf || i >= depth-abi.StackRoot {
				want = append(want, uint64(i+1))
			}
		}
		got := make([]uint64, 0, abi.StackMax)
		for _, f := range s.Stack.Frames {
			got = append(got, f.Code)
		}
		require.Equal(t, want, got, "depth %d", depth)
		if depth > abi.StackMax {
			assert.Equal(t, depth-abi.StackMax, s.Stack.Cut)
			assert.Equal(t, abi.StackLeaf, s.Stack.CutAt)
		} else {
			assert.Zero(t, s.Stack.Cut)
		}
	}
}

func TestDecodeTask(t *testing.T) {
	var k abi.Sample
	k.Type = uint32(abi.RecordSample)
	e, err := new(Decoder).Decode(bytesOf(&k, unsafe.Sizeof(k)))
	require.NoError(t, err)
	require.Nil(t, e.(*Sample).Task, "none")
	k.Task.Task, k.Task.Name, k.Task.Object[31] = 1, 2, 3
	for bytes, want := range map[uint32]int{0: 0, 32: 32, 128: 128, 129: 128, 1 << 31: 128} {
		k.Task.Bytes = bytes
		e, err := new(Decoder).Decode(bytesOf(&k, unsafe.Sizeof(k)))
		require.NoError(t, err)
		task := e.(*Sample).Task
		require.Equal(t, uint64(1), task.Addr)
		require.Equal(t, uint64(2), task.Name)
		require.Len(t, task.Object, want)
		if want > 0 {
			require.Equal(t, byte(3), task.Object[31])
		}
	}
}

func TestDecodeOthers(t *testing.T) {
	b := abi.BlockRecord{
		Type: uint32(abi.RecordBlock), Tgid: 1, Tid: 2, Flags: abi.BlockExited, Period: 3, Start: 4, End: 5, OffNs: 6,
		WaitedNs: 7, ThrottledNs: 8, StoppedNs: 10, Samples: 9,
	}
	e, err := new(Decoder).Decode(bytesOf(&b, unsafe.Sizeof(b)))
	require.NoError(t, err)
	assert.Equal(t, &Block{PID: 1, TID: 2, Period: 3, Start: 4, End: 5, OffNS: 6, WaitedNS: 7, ThrottledNS: 8, StoppedNS: 10, Samples: 9, Exited: true}, e)

	w := abi.WaitRecord{Type: uint32(abi.RecordWait), Tgid: 1, Tid: 2, Fd: 3, ThreadId: 4}
	e, err = new(Decoder).Decode(bytesOf(&w, framesAt(unsafe.Offsetof(w.Stack))))
	require.NoError(t, err)
	assert.Equal(t, &Wait{PID: 1, TID: 2, FD: 3, ThreadID: 4}, e)

	l := abi.LifeRecord{Type: uint32(abi.RecordExit), Tgid: 1, Tid: 2, Last: 1}
	e, err = new(Decoder).Decode(bytesOf(&l, unsafe.Sizeof(l)))
	require.NoError(t, err)
	assert.Equal(t, &Exit{PID: 1, TID: 2, Last: true}, e)

	i := abi.UsdtAccount{
		Type: uint32(abi.RecordUsdt), Tid: 1, Period: 2, Gcs: 3, GcNs: 4, GcMaxNs: 5, GcMaxGeneration: 6, GcCollected: -7,
		Imports: 8, ImportNs: 9, ImportMaxNs: 10, AuditsMore: 11,
	}
	i.Phases[PhaseImport-1].Ns, i.Phases[PhaseImport-1].OffNs, i.Phases[PhaseImport-1].WaitedOrStoppedNs = 12, 13, 14
	for n := range i.MaxModule { // without a NUL
		i.MaxModule[n] = -1
	}
	i.Audits[0].Count, i.Audits[0].Name = 15, [32]int8{'o', 'p', 'e', 'n', 0, 'x'}
	e, err = new(Decoder).Decode(bytesOf(&i, unsafe.Sizeof(i)))
	require.NoError(t, err)
	assert.Equal(t, &Account{
		TID: 1, Period: 2, Phases: map[Phase]PhaseTime{PhaseImport: {12, 13, 14}}, GCs: 3, GCNS: 4, GCMaxNS: 5, GCGeneration: 6, GCCollected: -7,
		Imports: 8, ImportNS: 9, ImportMaxNS: 10, Module: strings.Repeat("\xff", len(i.MaxModule)),
		Audits: []AuditEvent{{"open", 15}}, AuditsMore: 11,
	}, e)
	_, err = new(Decoder).Decode(bytesOf(&i, unsafe.Sizeof(i)-1))
	assert.Error(t, err)
}

func TestDecodeRefusesGarbage(t *testing.T) {
	for _, raw := range [][]byte{nil, {1}, {1, 0, 0, 0}, {99, 0, 0, 0, 0, 0, 0, 0}, sampleRecord(3)[:40]} {
		_, err := new(Decoder).Decode(raw)
		assert.Error(t, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(sampleRecord(0))
	f.Add(sampleRecord(3))
	f.Add(sampleRecord(1000))
	f.Add([]byte{1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := new(Decoder).Decode(raw)
		if err != nil {
			return
		}
		if s, ok := e.(*Sample); ok && len(s.Stack.Frames) > abi.StackMax {
			t.Fatalf("%d frames", len(s.Stack.Frames))
		}
	})
}

// A holder goes with the sample it belongs to and with no other.
func TestDecodeHolder(t *testing.T) {
	holder := func(depth int) []byte {
		var k abi.Holder
		k.Type, k.Tid, k.Period, k.At = uint32(abi.RecordHolder), 7, 9, 1234
		k.ThreadId, k.HolderTid = 0x7f00, 42
		for i, c := range "worker" {
			k.Comm[i] = int8(c)
		}
		k.Stack.Depth = uint32(depth)
		leaf := len(k.Stack.Frames) - abi.HolderRoot
		for i := range depth {
			at := i
			if at >= leaf {
				at = leaf + (at-leaf)%abi.HolderRoot
			}
			k.Stack.Frames[at].Code = uint64(i + 1)
		}
		return bytesOf(&k, framesAt(unsafe.Offsetof(k.Stack))+uintptr(min(depth, len(k.Stack.Frames)))*unsafe.Sizeof(Frame{}))
	}
	sample := func(at uint64) []byte {
		raw := sampleRecord(1)
		(*abi.Sample)(unsafe.Pointer(&raw[0])).At = at
		return raw
	}
	for _, depth := range []int{0, 3, 64, 65, 200} {
		d := new(Decoder)
		e, err := d.Decode(holder(depth))
		require.NoError(t, err)
		require.Nil(t, e)
		e, err = d.Decode(sample(1234))
		require.NoError(t, err)
		h := e.(*Sample).Holder
		require.NotNil(t, h)
		assert.Equal(t, uint64(0x7f00), h.ThreadID)
		assert.Equal(t, 42, h.TID)
		assert.Equal(t, "worker", h.Comm)
		require.Len(t, h.Stack.Frames, min(depth, 64))
		if depth > 0 {
			assert.Equal(t, uint64(1), h.Stack.Frames[0].Code)
			assert.Equal(t, uint64(depth), h.Stack.Frames[len(h.Stack.Frames)-1].Code)
		}
		assert.Equal(t, max(depth-64, 0), h.Stack.Cut)

		e, err = d.Decode(sample(1234))
		require.NoError(t, err)
		assert.Nil(t, e.(*Sample).Holder, "it was given away")

		_, err = d.Decode(holder(depth))
		require.NoError(t, err)
		e, err = d.Decode(sample(1235))
		require.NoError(t, err)
		assert.Nil(t, e.(*Sample).Holder, "of another sample")
	}
}

func TestHoldersOfLostSamplesAreBounded(t *testing.T) {
	d := new(Decoder)
	var k abi.Holder
	k.Type = uint32(abi.RecordHolder)
	for i := range 3 * maxHolders {
		k.Tid = uint32(i)
		_, err := d.Decode(bytesOf(&k, unsafe.Sizeof(k)))
		require.NoError(t, err)
		require.LessOrEqual(t, len(d.holders), maxHolders)
	}
}

// FuzzReadAll reads whatever an iterator writes.
func FuzzReadAll(f *testing.F) {
	f.Add(make([]byte, 3*unsafe.Sizeof(abi.ListedThread{})), 2)
	f.Fuzz(func(t *testing.T, raw []byte, most int) {
		most = min(max(most, 0), 1000)
		threads, err := ReadAll[abi.ListedThread](bytes.NewReader(raw), most)
		if err != nil || len(threads) > most {
			t.Fatalf("%d of %d: %v", len(threads), most, err)
		}
		sockets, _ := ReadAll[abi.ListedSocket](bytes.NewReader(raw), most)
		for i := range sockets {
			_ = TargetOf(&sockets[i].Target)
		}
	})
}
