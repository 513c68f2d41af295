// SPDX-License-Identifier: Apache-2.0

package cpython

import (
	"errors"
	"fmt"
	"slices"

	"github.com/loopwatch/loopwatch/internal/cpython/release"
	"github.com/loopwatch/loopwatch/internal/cpython/words"
	"github.com/loopwatch/loopwatch/internal/process"
)

// Bounds of what is read of one runtime.
const (
	maxInterpreters = 64
	maxThreads      = 4096
	maxSteps        = 1 << 16 // frames looked at in one walk, shims included
)

var (
	// ErrCut says that a list was longer than the bound, and what came with it is its beginning.
	ErrCut     = errors.New("the list goes on")
	errCircle  = errors.New("the list runs in a circle")
	errNoFrame = errors.New("not the thread state of a thread")
)

// Threads lists the thread states of all interpreters, at most 4,096 of at most 64; where
// there are more, it returns those with ErrCut. Thread states that belong to no thread yet
// are left out. The list can change while it is read, so it is tried three times; with the last
// error come the threads found that far.
func (r *Runtime) Threads(m process.Memory) (threads []Thread, err error) {
	for range 3 {
		if threads, err = process.ReadTogether(m, r.threads); err == nil || errors.Is(err, ErrCut) {
			break
		}
	}
	return threads, err
}

func (r *Runtime) threads(m process.Memory) ([]Thread, error) {
	l := &r.Layout
	interp, err := words.At(m, r.Addr+uint64(l.RuntimeInterpreters))
	if err != nil {
		return nil, fmt.Errorf("read the list of interpreters: %w", err)
	}
	var out []Thread
	seen := map[uint64]bool{}
	wanted := []uint32{l.ThreadNext, l.ThreadInterp, l.ThreadID}
	if l.ThreadNative != 0 {
		wanted = append(wanted, l.ThreadNative)
	}
	var buf [512]byte
	for range maxInterpreters {
		if interp == 0 {
			return out, nil
		}
		if seen[interp] {
			return out, fmt.Errorf("read the list of interpreters: %w", errCircle)
		}
		seen[interp] = true
		thread, err := words.At(m, interp+uint64(l.InterpThreads))
		if err != nil {
			return out, fmt.Errorf("read the list of threads: %w", err)
		}
		for thread != 0 {
			if seen[thread] {
				return out, fmt.Errorf("read the list of threads: %w", errCircle)
			}
			if len(seen) >= maxThreads {
				return out, ErrCut
			}
			seen[thread] = true
			f, err := words.Read(m, thread, buf[:], wanted...)
			if err != nil {
				return out, fmt.Errorf("read the list of threads: %w", err)
			}
			t := Thread{Addr: thread, ThreadID: f.U64(l.ThreadID), Interp: f.U64(l.ThreadInterp)}
			if l.ThreadNative != 0 {
				t.NativeID = f.U64(l.ThreadNative)
			}
			if t.Interp != interp {
				return out, fmt.Errorf("read the list of threads: %#x is of another interpreter", thread)
			}
			if t.ThreadID != 0 {
				out = append(out, t)
			}
			thread = f.U64(l.ThreadNext)
		}
		if interp, err = words.At(m, interp+uint64(l.InterpNext)); err != nil {
			return out, fmt.Errorf("read the list of interpreters: %w", err)
		}
	}
	if interp != 0 {
		return out, ErrCut
	}
	return out, nil
}

// Stack walks the frames of the thread state at tstate, innermost first, at most max of them;
// where there are more, it returns those with ErrCut. It yields what the kernel's walker would
// at that moment. The process goes on running meanwhile: a caller that needs a true stack
// sees to it that the thread stayed at rest. With another error the frames read so far are
// returned.
func (r *Runtime) Stack(m process.Memory, tstate uint64, max int) (frames []RawFrame, err error) {
	frames, _, err = r.StackAt(m, tstate, max)
	return frames, err
}

// StackAt is Stack with the address of each frame.
func (r *Runtime) StackAt(m process.Memory, tstate uint64, max int) (frames []RawFrame, addrs []uint64, err error) {
	s, err := process.ReadTogether(m, func(m process.Memory) (s stack, err error) {
		s.frames, s.addrs, err = r.stackAt(m, tstate, max)
		return s, err
	})
	return s.frames, s.addrs, err
}

// stack is frames with their addresses.
type stack struct {
	frames []RawFrame
	addrs  []uint64
}

func (r *Runtime) stackAt(m process.Memory, tstate uint64, max int) (frames []RawFrame, addrs []uint64, err error) {
	l := &r.Layout.FrameLayout
	err = r.walk(m, tstate, func(addr uint64, f words.Fields) bool {
		if len(frames) >= max {
			return false
		}
		code := f.U64(l.FrameCode) &^ uint64(l.FrameCodeTag)
		frames = append(frames, RawFrame{Code: code, Instr: instr(l, code, f)})
		addrs = append(addrs, addr)
		return true
	})
	readChecks(m, l, frames)
	return frames, addrs, err
}

// InnermostOf returns the innermost of some frames, by address, that is on the stack of the
// thread state at tstate, and how many are nearer to the leaf; 0 where none is. The same holds as
// for Stack.
func (r *Runtime) InnermostOf(m process.Memory, tstate uint64, frames []uint64) (found uint64, depth int, err error) {
	type place struct {
		frame uint64
		depth int
	}
	at, err := process.ReadTogether(m, func(m process.Memory) (at place, err error) {
		err = r.walk(m, tstate, func(addr uint64, _ words.Fields) bool {
			if slices.Contains(frames, addr) {
				at.frame = addr
				return false
			}
			at.depth++
			return true
		})
		return at, err
	})
	if at.frame != 0 {
		return at.frame, at.depth, nil
	}
	return 0, 0, err
}

// walk calls visit with each frame until it returns false, which makes ErrCut.
func (r *Runtime) walk(m process.Memory, tstate uint64, visit func(addr uint64, f words.Fields) bool) error {
	l := &r.Layout.FrameLayout
	at := tstate + uint64(l.ThreadFrame)
	if l.ViaCFrame != 0 {
		var err error
		if at, err = words.At(m, at); err != nil {
			return fmt.Errorf("read thread state: %w", err)
		}
		if at == 0 {
			return errNoFrame
		}
		at += uint64(l.CFrameFrame)
	}
	frame, err := words.At(m, at)
	if err != nil {
		return fmt.Errorf("read thread state: %w", err)
	}
	m = &words.Window{Memory: m}
	var buf [256]byte
	for range maxSteps {
		if frame == 0 {
			return nil
		}
		f, err := words.Read(m, frame, buf[:], l.FrameCode, l.FrameBack, l.FrameInstr, l.FrameOwner)
		if err != nil {
			return fmt.Errorf("read frame: %w", err)
		}
		if owner := f.U8(l.FrameOwner); l.ShimOwners != 0 && owner < 32 && l.ShimOwners>>owner&1 != 0 {
			frame = f.U64(l.FrameBack)
			continue
		}
		if !visit(frame, f) {
			return ErrCut
		}
		frame = f.U64(l.FrameBack)
	}
	return ErrCut
}

// readChecks sets Check of each frame. It stays 0 where the code object cannot be read: resolving the frame will fail.
func readChecks(m process.Memory, l *release.FrameLayout, frames []RawFrame) {
	from, to := words.Span([]uint32{l.CodeFile, l.CodeLine})
	at := map[uint64]int{} // recursion is many frames of one code object
	var places []process.Place
	for _, f := range frames {
		if _, ok := at[f.Code]; !ok {
			at[f.Code] = len(places)
			places = append(places, process.Place{Addr: f.Code + uint64(from), P: make([]byte, to-from)})
		}
	}
	process.ReadEach(m, places)
	for i := range frames {
		if p := places[at[frames[i].Code]]; p.OK {
			f := words.Seen(from, p.P)
			frames[i].Check = CodeCheck(f.U64(l.CodeFile), f.I32(l.CodeLine))
		}
	}
}

// instr returns the index of the instruction that a frame is at.
func instr(l *release.FrameLayout, code uint64, f words.Fields) int32 {
	switch l.InstrKind {
	case release.InstrBytes:
		if bytes := f.I32(l.FrameInstr); bytes >= 0 {
			return bytes / 2
		}
		return InstrNotStarted
	case release.InstrUnits:
		return f.I32(l.FrameInstr)
	}
	// One unit before the first: from 3.11 to 3.12 a frame that has not started.
	bytes := int64(f.U64(l.FrameInstr) - (code + uint64(l.CodeInstrs)))
	if bytes < -2 || bytes > 1<<31-1 {
		return InstrUnknown
	}
	return int32(bytes >> 1)
}
