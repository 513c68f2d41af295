// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/abi"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
)

// Where the process of these tests has its things. The offsets are those of no release.
const (
	tstateAt  = 0x10000
	framesAt0 = 0x100000 // the innermost frame; the next ones follow, frameSize apart
	frameSize = 64
	codesAt   = 0x8000000
	codeSize  = 128
	tasksAt   = 0x9000000

	adaptive  = 40
	threadID  = 0x7f0000001000
	shimOwner = 3
	generator = abi.OwnerGenerator
)

var testLayout = abi.PyLayout{
	TstateThreadId: 24, TstateFrame: 32, FrameCode: 8, FramePrevious: 16, FrameInstr: 24, FrameOwner: 32, FrameLocals: 40,
	ShimOwners: 1 << shimOwner, CodeTagMask: 1, InstrKind: abi.InstrPointer, CodeFile: 16, CodeLine: 24, CodeAdaptive: adaptive,
	TstateTask: 40, TaskCoro: 8, TaskName: 16, CoroFrame: 64, CoroFrameInside: 1,
	DictKeys: 16, KeysLog2: 9, KeysCount: 24, KeysIndex: 32,
	StrLength: 16, StrState: 32, StrAscii: 40, StrCompact: 56, StrKindBit: 2, StrAsciiBit: 6,
}

// A pyFrame is a frame of the chain, innermost first.
type pyFrame struct {
	code   int
	unit   int32 // -1 not started
	tagged bool
	owner  uint8
	torn   bool // nothing is mapped there
}

// A pyProcess has the memory of a thread with these frames.
type pyProcess struct {
	layout abi.PyLayout
	config abi.ThreadConfig
	frames []pyFrame
	codes  map[int]bool // that are mapped
	extra  strings.Builder
}

func frameAddress(i int) uint64 { return framesAt0 + uint64(i)*frameSize }
func codeAddress(n int) uint64  { return codesAt + uint64(n)*codeSize }

func newPyProcess(frames []pyFrame) *pyProcess {
	p := &pyProcess{layout: testLayout, frames: frames, codes: map[int]bool{}}
	p.config = abi.ThreadConfig{Tstate: tstateAt, ThreadId: threadID, Slot: 0}
	for _, f := range frames {
		p.codes[f.code] = true
	}
	return p
}

func (p *pyProcess) raw(f pyFrame) uint64 {
	switch p.layout.InstrKind {
	case abi.InstrBytes:
		return uint64(uint32(2 * f.unit))
	case abi.InstrUnits:
		return uint64(uint32(f.unit))
	}
	return codeAddress(f.code) + adaptive + uint64(int64(2*f.unit))
}

// put maps words at an address.
func (p *pyProcess) put(at uint64, size int, words map[int]uint64) {
	b := make([]byte, size)
	for offset, word := range words {
		binary.LittleEndian.PutUint64(b[offset:], word)
	}
	fmt.Fprintf(&p.extra, "memory %d %x\n", at, b)
}

// script describes the process to the kernel side.
func (p *pyProcess) script() string {
	var b strings.Builder
	fmt.Fprintf(&b, "layout %s\n", hexOf(&p.layout))
	image := make([]byte, len(p.frames)*frameSize)
	mapped := 0
	for i, f := range p.frames {
		if f.torn { // all behind it is out of reach
			break
		}
		at := image[i*frameSize:]
		code := codeAddress(f.code)
		if f.tagged {
			code |= 1
		}
		binary.LittleEndian.PutUint64(at[8:], code)
		if i+1 < len(p.frames) {
			binary.LittleEndian.PutUint64(at[16:], frameAddress(i+1))
		}
		binary.LittleEndian.PutUint64(at[24:], p.raw(f))
		at[32] = f.owner
		binary.LittleEndian.PutUint64(at[40:], local(i))
		mapped = (i + 1) * frameSize
	}
	if mapped > 0 {
		fmt.Fprintf(&b, "memory %d %x\n", framesAt0, image[:mapped])
	}
	for n, there := range p.codes {
		if !there {
			continue
		}
		code := make([]byte, codeSize)
		binary.LittleEndian.PutUint64(code[16:], path(n))
		binary.LittleEndian.PutUint32(code[24:], line(n))
		fmt.Fprintf(&b, "memory %d %x\n", codeAddress(n), code)
	}
	return b.String() + p.extra.String()
}

// What a frame's code and the frame itself hold.
func path(code int) uint64 { return 0x7f1200000000 + uint64(code)*0x1357 }
func line(code int) uint32 { return uint32(code)*3 + 1 }
func local(i int) uint64   { return 0x5000 + uint64(i) }

// tstate maps the thread state.
func (p *pyProcess) tstate(task uint64) {
	words := map[int]uint64{24: p.config.ThreadId, 40: task}
	if len(p.frames) > 0 {
		words[32] = frameAddress(0)
	}
	p.put(tstateAt, 64, words)
}

// walked are the frames a walk of at most so many steps finds, by their places in the chain, and whether it
// ends at the root.
func (p *pyProcess) walked(steps int) (places []int, whole bool) {
	for i, f := range p.frames {
		if i >= steps || f.torn {
			return places, false
		}
		if f.owner != shimOwner {
			places = append(places, i)
		}
	}
	return places, true
}

// wanted is the stack of these frames, of which the first `leaf` and the last `root` are kept.
func (p *pyProcess) wanted(places []int, whole bool, leaf, root int) wire.Stack {
	s := wire.Stack{Partial: !whole}
	for n, i := range places {
		if len(places) > leaf+root && n >= leaf && n < len(places)-root {
			continue
		}
		f := p.frames[i]
		frame := wire.Frame{Code: codeAddress(f.code), Instr: f.unit}
		if p.codes[f.code] {
			frame.Check = uint32(path(f.code)) ^ line(f.code)<<24
		}
		s.Frames = append(s.Frames, frame)
	}
	if cut := len(places) - leaf - root; cut > 0 {
		s.Cut, s.CutAt = cut, leaf
	}
	return s
}

// walk has the kernel side walk the thread, and decodes what it would send.
func (p *pyProcess) walk(t *testing.T, n native, more string) *wire.Sample {
	t.Helper()
	lines := n.run(t, p.script()+"walk "+hexOf(&p.config)+"\n"+more)
	raw := unhex(t, lines[0], "sample")
	require.Len(t, raw, int(unsafe.Sizeof(abi.Sample{})))
	(*abi.Sample)(unsafe.Pointer(&raw[0])).Type = abi.RecordSample
	e, err := new(wire.Decoder).Decode(raw)
	require.NoError(t, err)
	return e.(*wire.Sample)
}

func chain(r *rand.Rand, depth int) []pyFrame {
	frames := make([]pyFrame, depth)
	for i := range frames {
		frames[i] = pyFrame{code: r.IntN(20), unit: int32(r.IntN(500)) - 1, tagged: r.IntN(4) == 0}
		if r.IntN(5) == 0 {
			frames[i].owner = shimOwner
		}
	}
	return frames
}

func bothNatives(t *testing.T, test func(t *testing.T, n native, r *rand.Rand)) {
	for _, unrolled := range []bool{false, true} {
		t.Run(fmt.Sprintf("unrolled=%t", unrolled), func(t *testing.T) {
			test(t, newNative(t, unrolled), rand.New(rand.NewPCG(3, 4)))
		})
	}
}

// The leaf and the root of a stack are kept however deep it is, and what is missing is said.
func TestNativeWalk(t *testing.T) {
	bothNatives(t, func(t *testing.T, n native, r *rand.Rand) {
		depths := []int{1, 2, 17, 100, 126, 127, 128, 129, 191, 192, 193, 255, 256, 257, 320, 321, 1007, 4095, 4096, 4097, 4500}
		for _, depth := range depths {
			for _, kind := range []uint32{abi.InstrBytes, abi.InstrUnits, abi.InstrPointer} {
				p := newPyProcess(chain(r, depth))
				p.layout.InstrKind = kind
				p.tstate(0)
				places, whole := p.walked(n.steps)
				got := p.walk(t, n, "")
				require.Equal(t, p.wanted(places, whole, 192, 64), got.Stack, "depth %d, kind %d", depth, kind)
				require.Nil(t, got.Task)
			}
		}
	})
}

// A walk ends where memory does, and says so.
func TestNativeWalkOfTornStacks(t *testing.T) {
	bothNatives(t, func(t *testing.T, n native, r *rand.Rand) {
		for range 30 {
			p := newPyProcess(chain(r, 40))
			p.frames[1+r.IntN(39)].torn = true
			p.codes[p.frames[0].code] = false // its name cannot be read; it is a frame nevertheless
			p.tstate(0)
			places, whole := p.walked(n.steps)
			assert.Equal(t, p.wanted(places, whole, 192, 64), p.walk(t, n, "").Stack)
		}
		p := newPyProcess([]pyFrame{{code: 1}})
		p.tstate(0)
		p.config.ThreadId++ // the thread state is another thread's by now
		assert.Equal(t, wire.Stack{Partial: true}, p.walk(t, n, "").Stack)
	})
}

// A chain that is a circle ends, too.
func TestNativeWalkOfACircle(t *testing.T) {
	bothNatives(t, func(t *testing.T, n native, _ *rand.Rand) {
		p := newPyProcess(nil)
		p.put(tstateAt, 64, map[int]uint64{24: threadID, 32: framesAt0})
		p.put(framesAt0, frameSize, map[int]uint64{8: codeAddress(1), 16: framesAt0, 24: codeAddress(1) + adaptive})
		s := p.walk(t, n, "").Stack
		assert.True(t, s.Partial)
		assert.Equal(t, min(n.steps, 256), len(s.Frames))
		assert.Equal(t, n.steps, len(s.Frames)+s.Cut)
	})
}

// The instruction of a frame is the start, a code unit, or unknown.
func TestNativeInstructions(t *testing.T) {
	n := newNative(t, false)
	for _, test := range []struct {
		kind uint32
		raw  uint64
		want int32
	}{
		{abi.InstrBytes, uint64(math.MaxUint32 - 1), -1}, {abi.InstrBytes, 0, 0}, {abi.InstrBytes, 8, 4},
		{abi.InstrUnits, math.MaxUint32, -1}, {abi.InstrUnits, 8, 8}, {abi.InstrUnits, math.MaxInt32, math.MaxInt32},
		{abi.InstrUnits, uint64(math.MaxUint32 - 9), math.MinInt32},
		{abi.InstrPointer, codesAt + adaptive - 2, -1}, {abi.InstrPointer, codesAt + adaptive, 0}, {abi.InstrPointer, codesAt + adaptive + 10, 5},
		{abi.InstrPointer, codesAt + adaptive - 4, math.MinInt32}, {abi.InstrPointer, 0, math.MinInt32},
		{abi.InstrPointer, math.MaxUint64, math.MinInt32}, {abi.InstrPointer, codesAt + adaptive + 1<<32, math.MinInt32},
	} {
		p := newPyProcess([]pyFrame{{}})
		p.layout.InstrKind = test.kind
		p.frames = nil
		p.put(tstateAt, 64, map[int]uint64{24: threadID, 32: framesAt0})
		p.put(framesAt0, frameSize, map[int]uint64{8: codesAt, 24: test.raw})
		frames := p.walk(t, n, "").Stack.Frames
		require.Len(t, frames, 1)
		assert.Equal(t, test.want, frames[0].Instr, "kind %d, %#x", test.kind, test.raw)
	}
}

// Of the frames that call callbacks the outermost counts; the callback is the one directly inside it.
func TestNativeCallback(t *testing.T) {
	bothNatives(t, func(t *testing.T, n native, r *rand.Rand) {
		for range 40 {
			p := newPyProcess(chain(r, 1+r.IntN(60)))
			p.tstate(0)
			p.config.CallerCode = codeAddress(r.IntN(20))
			if r.IntN(4) == 0 {
				p.config.CallerCode = abi.CallerRoot
			}
			for i := range p.frames {
				if p.frames[i].owner == 0 {
					p.frames[i].owner = uint8(r.IntN(3))
				}
			}
			places, _ := p.walked(n.steps)
			var want wire.Callback
			for k, i := range places {
				inner := k - 1
				if p.config.CallerCode == abi.CallerRoot {
					inner = k
				} else if codeAddress(p.frames[i].code) != p.config.CallerCode {
					continue
				}
				want = wire.Callback{}
				if inner >= 0 {
					at := places[inner]
					want = wire.Callback{Frame: frameAddress(at), Local: local(at), Generator: p.frames[at].owner == generator}
				}
			}
			assert.Equal(t, want, p.walk(t, n, "").Callback)
		}
	})
}

// The stack of a holder is a short one.
func TestNativeHolder(t *testing.T) {
	bothNatives(t, func(t *testing.T, n native, r *rand.Rand) {
		steps := 1024
		if n.unrolled {
			steps = 100
		}
		for _, depth := range []int{1, 47, 48, 49, 64, 65, 81, 99, 100, 101, 500, 1024, 1025} {
			p := newPyProcess(chain(r, depth))
			p.tstate(0)
			lines := n.run(t, p.script()+fmt.Sprintf("holder %d\n", tstateAt))
			raw := unhex(t, lines[0], "holder")
			places, whole := p.walked(steps)
			got := wire.HeldSampleOf(&abi.HeldSample{Holder: *(*abi.Holder)(unsafe.Pointer(&raw[0]))}).Holder
			require.Equal(t, p.wanted(places, whole, 48, 16), got.Stack, "depth %d", depth)
		}
	})
}
