// SPDX-License-Identifier: Apache-2.0

package release

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/loopwatch/loopwatch/internal/process"
)

// From 3.13 on _PyRuntime begins with a _Py_DebugOffsets (3.13: Include/internal/
// pycore_runtime.h, 3.14 and 3.15: pycore_debug_offsets.h), a structure of 8-byte numbers after
// an 8-byte cookie. Fields get inserted in its middle from one minor release to the next and
// stay put within one, so the order of each is written down here: one line for each inner
// structure, "-" for a field that loopwatch does not need.
var debugOffsets = map[int][]string{
	13: parseShape(`
		version free_threaded
		runtime.size finalizing interpreters_head
		interp.size - next threads_head gc modules - - ceval_gil gil - gil_locked gil_holder
		thread.size - thread.next thread.interp current_frame thread_id native_thread_id - -
		frame.size previous executable instr_ptr localsplus owner
		code.size filename name qualname linetable firstlineno - localsplusnames - co_code_adaptive
		object.size ob_type
		type.size tp_name - tp_flags
		tuple.size ob_item - | - - - | dict.size ma_keys ma_values | - - | long.size lv_tag ob_digit
		bytes.size ob_size ob_sval
		str.size state length asciiobject_size
		gc.size collecting`),
	14: parseShape(`
		version free_threaded
		runtime.size finalizing interpreters_head
		interp.size - next threads_head - gc modules - - ceval_gil gil - gil_locked gil_holder - -
		thread.size - thread.next thread.interp current_frame thread_id native_thread_id - -
		frame.size previous executable instr_ptr localsplus owner stackpointer -
		code.size filename name qualname linetable firstlineno - localsplusnames - co_code_adaptive -
		object.size ob_type
		type.size tp_name - tp_flags
		tuple.size ob_item - | - - - | - - - - | dict.size ma_keys ma_values | - - | long.size lv_tag ob_digit
		bytes.size ob_size ob_sval
		str.size state length asciiobject_size
		gc.size collecting
		gen.size - gi_iframe gi_frame_state | - - | - - - - - -`),
	15: parseShape(`
		version free_threaded
		runtime.size finalizing interpreters_head
		interp.size - next threads_head - gc modules - - ceval_gil gil - gil_locked gil_holder - -
		thread.size - thread.next thread.interp current_frame - - - thread_id native_thread_id - - - - - -
		-
		frame.size previous executable instr_ptr localsplus owner stackpointer -
		code.size filename name qualname linetable firstlineno - localsplusnames - co_code_adaptive -
		object.size ob_type
		type.size tp_name - tp_flags - -
		heap.size ht_cached_keys | tuple.size ob_item - | - - - | - - - - | dict.size ma_keys ma_values | - - | long.size lv_tag ob_digit
		bytes.size ob_size ob_sval
		str.size state length asciiobject_size -
		gc.size collecting - - -
		gen.size - gi_iframe gi_frame_state | - - | - - - - - -`),
}

const debugCookie = "xdebugpy"

// Bounds of offsets read from a process. Real structures are far smaller, but for the runtime
// and the interpreters, which contain tables.
const (
	MaxOffset      = 4096
	MaxLargeOffset = 1 << 24
)

// ErrNoDebugOffsets says that a runtime does not describe itself.
var ErrNoDebugOffsets = errors.New("no debug offsets")

// newest returns the minor version of the newest release whose debug offsets are known.
func newest() int { return slices.Max(slices.Collect(maps.Keys(debugOffsets))) }

func parseShape(text string) []string {
	return strings.Fields(strings.ReplaceAll(text, "|", " "))
}

// ReadDebugOffsets reads version and layout of a runtime that describes itself, at the address of its _PyRuntime. The error
// is ErrNoDebugOffsets where it does not, and an *UnsupportedError where it is none of the releases known.
func ReadDebugOffsets(m process.Memory, addr uint64) (Version, Layout, error) {
	var head [24]byte
	if err := m.Read(addr, head[:]); err != nil {
		return 0, Layout{}, fmt.Errorf("read the Python runtime: %w", err)
	}
	if string(head[:8]) != debugCookie {
		return 0, Layout{}, ErrNoDebugOffsets
	}
	version := Version(binary.LittleEndian.Uint64(head[8:]))
	shape, ok := debugOffsets[version.Minor()]
	switch newest := newest(); {
	case version.Major() != 3 || version.Minor() > newest:
		return version, Layout{}, &UnsupportedError{fmt.Sprintf("CPython %s: too new, 3.%d is the newest supported", version, newest)}
	case !ok:
		return version, Layout{}, &UnsupportedError{fmt.Sprintf("CPython %s: its debug offsets are not known", version)}
	case version>>4&0xf < 0xc:
		// The order of fields is settled late: 3.15 got one more in its fourth beta.
		return version, Layout{}, &UnsupportedError{fmt.Sprintf("CPython %s, a pre-release: only candidates and final releases are supported", version)}
	case binary.LittleEndian.Uint64(head[16:]) != 0:
		return version, Layout{}, &UnsupportedError{fmt.Sprintf("CPython %s, a free-threaded build: only builds with the GIL are supported", version)}
	}
	b := make([]byte, len(shape)*8)
	if err := m.Read(addr+8, b); err != nil {
		return version, Layout{}, fmt.Errorf("read debug offsets: %w", err)
	}
	layout, err := parseDebugOffsets(version.Minor(), b)
	if err != nil {
		return version, layout, &UnsupportedError{fmt.Sprintf("CPython %s: its debug offsets make no sense: %v", version, err)}
	}
	return version, layout, nil
}

// parseDebugOffsets makes a layout of the numbers that follow the cookie.
func parseDebugOffsets(minor int, b []byte) (Layout, error) {
	at := map[string]uint64{}
	for i, name := range debugOffsets[minor] {
		if name != "-" {
			at[name] = binary.LittleEndian.Uint64(b[8*i:])
		}
	}
	var bad error
	// within takes an offset into the structure whose size is named, of a field of so many bytes.
	within := func(size, name string, width, most uint64) uint32 {
		v := at[name]
		if at[size] > most || v > at[size] || v+width > at[size] || v%width != 0 {
			if bad == nil {
				bad = fmt.Errorf("%s is out of bounds: %d in %d bytes", name, v, at[size])
			}
			return 0
		}
		return uint32(v)
	}
	large := func(size, name string) uint32 { return within(size, name, 8, MaxLargeOffset) }
	field := func(size, name string) uint32 { return within(size, name, 8, MaxOffset) }
	int32At := func(size, name string) uint32 { return within(size, name, 4, MaxOffset) }

	l := Layout{
		FrameLayout: FrameLayout{
			ThreadID:    field("thread.size", "thread_id"),
			ThreadFrame: field("thread.size", "current_frame"),
			FrameCode:   field("frame.size", "executable"),
			FrameBack:   field("frame.size", "previous"),
			FrameInstr:  field("frame.size", "instr_ptr"),
			InstrKind:   InstrPointer,
			FrameOwner:  within("frame.size", "owner", 1, MaxOffset),
			FrameLocals: field("frame.size", "localsplus"),
			CodeLine:    int32At("code.size", "firstlineno"),
			CodeFile:    field("code.size", "filename"),
			CodeInstrs:  within("code.size", "co_code_adaptive", 1, MaxOffset),
			ObjectType:  field("object.size", "ob_type"),
		},
		RuntimeInterpreters: large("runtime.size", "interpreters_head"),
		RuntimeFinalizing:   large("runtime.size", "finalizing"),
		InterpNext:          large("interp.size", "next"),
		InterpThreads:       large("interp.size", "threads_head"),
		InterpGIL:           large("interp.size", "ceval_gil"),
		ThreadNext:          field("thread.size", "thread.next"),
		ThreadInterp:        field("thread.size", "thread.interp"),
		ThreadNative:        field("thread.size", "native_thread_id"),
		CodeName:            field("code.size", "name"),
		CodeQualName:        field("code.size", "qualname"),
		CodeLines:           field("code.size", "linetable"),
		TypeName:            field("type.size", "tp_name"),
		TypeFlags:           field("type.size", "tp_flags"),
		InterpModules:       large("interp.size", "modules"),
		DictKeys:            field("dict.size", "ma_keys"),
		DictValues:          field("dict.size", "ma_values"),
		TupleItems:          field("tuple.size", "ob_item"),
		CodeVarNames:        field("code.size", "localsplusnames"),
		LongSize:            field("long.size", "lv_tag"),
		LongDigits:          within("long.size", "ob_digit", 4, MaxOffset),
		BytesSize:           field("bytes.size", "ob_size"),
		BytesData:           within("bytes.size", "ob_sval", 1, MaxOffset),
		StrLength:           field("str.size", "length"),
		StrState:            int32At("str.size", "state"),
		StrASCII:            within("str.size", "asciiobject_size", 1, MaxOffset),
	}
	// These point inside a member of the interpreter, and its own offset has to come off.
	collecting := at["gc"] + at["collecting"]
	locked, holder := at["gil_locked"]-at["gil"], at["gil_holder"]-at["gil"]
	if at["gc"] > MaxLargeOffset || at["collecting"] > MaxOffset || locked > MaxOffset || holder > MaxOffset {
		bad = errors.Join(bad, errors.New("gc or gil is out of bounds"))
	}
	if minor >= 14 {
		l.CoroFrame = field("gen.size", "gi_iframe")
		l.CoroState = within("gen.size", "gi_frame_state", 1, MaxOffset)
		l.FrameStack, l.FrameStackKind = field("frame.size", "stackpointer"), StackPointer
	}
	l.InterpGCCollecting, l.GILLocked, l.GILLastHolder = uint32(collecting), uint32(locked), uint32(holder)
	if minor == 13 { // _PyThreadStateImpl of pycore_tstate.h, which begins with a PyThreadState
		l.ThreadLoop = uint32(at["thread.size"])
	}
	fillUnsaid(&l, minor)
	if minor >= 15 {
		l.TypeKeys = field("heap.size", "ht_cached_keys")
	}
	if bad != nil {
		return Layout{}, bad
	}
	return l, nil
}

// fillUnsaid sets what debug offsets do not tell. The tests hold it against the headers.
func fillUnsaid(l *Layout, minor int) {
	// enum _frameowner: frames that stand for a way through C.
	switch {
	case minor == 13:
		l.ShimOwners = 1 << 3 // FRAME_OWNED_BY_CSTACK
	case minor == 14:
		l.ShimOwners = 1<<3 | 1<<4 // FRAME_OWNED_BY_INTERPRETER, FRAME_OWNED_BY_CSTACK
	default:
		l.ShimOwners = 1 << 3 // FRAME_OWNED_BY_INTERPRETER; the base frame is such a one
	}
	if minor >= 14 {
		l.FrameCodeTag = 3 // Py_TAG_BITS of pycore_stackref.h
	} else {
		l.CoroFrame = 72 // _PyGenObject of cpython/genobject.h
		l.CoroState = 67
		l.FrameStack, l.FrameStackKind = 64, StackIndex // _PyInterpreterFrame of pycore_frame.h
	}
	l.TypeSize = 32    // PyTypeObject.tp_basicsize
	l.TypeDict = 288   // PyTypeObject.tp_dictoffset
	l.TypeKeys = 880   // PyHeapTypeObject.ht_cached_keys of cpython/object.h
	l.FuncClosure = 72 // PyFunctionObject of cpython/funcobject.h
	l.ModuleDict = 16  // PyModuleObject of pycore_moduleobject.h
	// struct _dictkeysobject of pycore_dict.h.
	l.KeysLog2, l.KeysKind, l.KeysCount, l.KeysIndex = 9, 10, 24, 32
	// A compact string has utf8_length and utf8 behind its ASCII part (since 3.12; 3.15 says so
	// itself), and one that is not compact a pointer behind that.
	l.StrCompact = l.StrASCII + 16
	l.StrData = l.StrCompact
	l.GILSize = 208 // sizeof(struct _gil_runtime_state), with glibc's mutex and condition
	// PyASCIIObject.state: interned, kind, compact, ascii.
	l.StrKindBit, l.StrCompactBit, l.StrASCIIBit = 2, 5, 6
}
