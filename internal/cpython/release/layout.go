// SPDX-License-Identifier: Apache-2.0

package release

import "github.com/loopwatch/loopwatch/internal/abi"

// InstrKind says how a frame names the instruction it is at.
type InstrKind uint32

const (
	InstrBytes   = InstrKind(abi.InstrBytes)   // int32 count of bytes (to 3.9)
	InstrUnits   = InstrKind(abi.InstrUnits)   // int32 count of 2-byte code units (3.10)
	InstrPointer = InstrKind(abi.InstrPointer) // pointer into the code object's instructions (3.11 on)
)

// StackKind says how a frame tells where its value stack ends.
type StackKind uint32

const (
	StackPointer StackKind = 1 // pointer behind the topmost value (to 3.9, and from 3.14 on)
	StackDepth   StackKind = 2 // int32, values in use (3.10)
	StackIndex   StackKind = 3 // int32, locals and values in use (3.11 to 3.13)
)

// FrameLayout is what one needs to walk the frames of a thread. The kernel's walker gets it
// as it stands: every field is a uint32, offsets are bytes from the start of the structure
// that the field's name begins with.
type FrameLayout struct {
	ThreadID     uint32 // PyThreadState: pthread_self of the thread, 8 bytes
	ThreadFrame  uint32 // PyThreadState: pointer to the innermost frame, or to a _PyCFrame
	ViaCFrame    uint32 // 1 where ThreadFrame leads to a _PyCFrame (3.11, 3.12), else 0
	CFrameFrame  uint32 // _PyCFrame: pointer to the innermost frame, with ViaCFrame
	FrameCode    uint32 // frame: pointer to the code object, tagged by FrameCodeTag
	FrameCodeTag uint32 // low bits of FrameCode to be cleared (3 from 3.14 on), else 0
	FrameBack    uint32 // frame: pointer to the caller's frame, 0 at the root
	FrameInstr   uint32 // frame: the instruction, read as InstrKind says
	InstrKind    InstrKind
	FrameOwner   uint32 // frame: 1 byte, who owns it (3.11 on)
	FrameLocals  uint32 // frame: its first local variable, a pointer tagged by FrameCodeTag
	ShimOwners   uint32 // bit n set: frames of owner n mark a way through C and are skipped
	CodeLine     uint32 // code: co_firstlineno, int32
	CodeFile     uint32 // code: co_filename
	CodeInstrs   uint32 // code: first instruction (co_code_adaptive); only with InstrPointer
	ObjectType   uint32 // any object: ob_type, 8 bytes
}

// Layout is where one release keeps what loopwatch reads. What lies behind a mutex, which is
// the garbage collector's state and the GIL, was measured on x86-64 and may differ elsewhere
// in the releases up to 3.12; the rest is the same on every 64-bit machine. All offsets are bytes; 0 in a field
// that cannot be at the start of its structure means that this release has no such field.
type Layout struct {
	FrameLayout

	RuntimeInterpreters uint32 // _PyRuntime: first PyInterpreterState
	RuntimeInitialized  uint32 // _PyRuntime: int32, 1 when the interpreter is ready for use (to 3.12)
	RuntimeFinalizing   uint32 // _PyRuntime: set while the interpreter ends
	RuntimeCurrent      uint32 // _PyRuntime: thread state that holds the GIL (to 3.11)
	InterpNext          uint32 // PyInterpreterState: the next one
	InterpThreads       uint32 // PyInterpreterState: first PyThreadState
	InterpGCCollecting  uint32 // PyInterpreterState: int32, 1 while the cyclic collector runs; to 3.8 see RuntimeGCCollecting
	InterpGIL           uint32 // PyInterpreterState: pointer to struct _gil_runtime_state (3.12 on)
	RuntimeGCCollecting uint32 // _PyRuntime: the same in 3.8
	RuntimeGIL          uint32 // _PyRuntime: struct _gil_runtime_state itself (to 3.11)
	GILSize             uint32 // struct _gil_runtime_state: its size, to tell its futexes
	GILLocked           uint32 // struct _gil_runtime_state: int32, 1 while held
	GILLastHolder       uint32 // struct _gil_runtime_state: pointer to PyThreadState
	ThreadNext          uint32 // PyThreadState: the next one
	ThreadInterp        uint32 // PyThreadState: its PyInterpreterState
	ThreadNative        uint32 // PyThreadState: 8 bytes, thread id of the kernel (3.11 on)

	CodeName     uint32 // code: co_name
	CodeQualName uint32 // code: co_qualname (3.11 on)
	CodeLines    uint32 // code: co_lnotab to 3.9, co_linetable from 3.10 on

	TypeName  uint32 // type: tp_name
	TypeSize  uint32 // type: tp_basicsize
	TypeFlags uint32 // type: tp_flags

	InterpModules uint32 // PyInterpreterState: sys.modules
	ModuleDict    uint32 // module: md_dict
	DictKeys      uint32 // dict: pointer to its table
	KeysSize      uint32 // table: number of slots of its index, 8 bytes (to 3.10)
	KeysLog2      uint32 // table: logarithm of the bytes of its index, 1 byte (3.11 on)
	KeysKind      uint32 // table: 1 byte, 0 where entries carry a hash (3.11 on; before they all do)
	KeysCount     uint32 // table: number of entries, deleted ones included
	KeysIndex     uint32 // table: its index, which the entries follow
	CoroFrame     uint32 // coroutine: pointer to its frame to 3.10, the frame itself from 3.11 on
	LongSize      uint32 // int: 8 bytes that tell how many digits there are
	LongDigits    uint32 // int: its digits, 30 bits in 4 bytes each

	// What it takes to follow a coroutine to what it awaits, and to read the objects on the way.
	FrameStack     uint32    // frame: where its value stack ends, as FrameStackKind says
	FrameStackBase uint32    // frame: pointer to the beginning of its value stack, with StackDepth
	FrameStackKind StackKind // how FrameStack is to be read
	CoroState      uint32    // coroutine: int8, the state of its frame (3.11 on)
	CodeVarNames   uint32    // code: co_varnames to 3.10, co_localsplusnames from 3.11 on
	CodeBytes      uint32    // code: co_code (to 3.10)
	DictValues     uint32    // dict: pointer to the values of a table that it shares
	TupleItems     uint32    // tuple: its first item
	TypeDict       uint32    // type: tp_dictoffset
	FuncClosure    uint32    // function: func_closure
	ThreadDict     uint32    // PyThreadState: dict of what belongs to the thread (to 3.12)
	ThreadLoop     uint32    // PyThreadState: the event loop it runs (3.13)
	TypeKeys       uint32    // type made by a program: the table that its instances share (3.11 on)

	BytesSize uint32 // bytes: ob_size
	BytesData uint32 // bytes: ob_sval

	StrLength     uint32 // str: length in code points
	StrState      uint32 // str: the 4-byte word of bit fields
	StrASCII      uint32 // str: the characters of a compact ASCII string
	StrCompact    uint32 // str: the characters of any other compact string
	StrData       uint32 // str: pointer to the characters of a string that is not compact
	StrKindBit    uint32 // position in the state word of the 3 bits that say how wide a character is
	StrCompactBit uint32 // position in the state word
	StrASCIIBit   uint32 // position in the state word
}
