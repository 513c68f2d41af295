// Code generated from bpf/abi by internal/abi/gen; DO NOT EDIT.

package abi

import "structs"

// enum counter of bpf/abi/counters.h.
const (
	LostRecords       = 0
	LostSamples       = 1
	SkippedSamples    = 2
	FailedThreadState = 3
	FailedFrame       = 4
	FailedCode        = 5
	TruncatedStacks   = 6
	RootlessStacks    = 7
	LostHolders       = 8
	FailedHolder      = 9
	FullThreads       = 10
	FullProcesses     = 11
	FailedTarget      = 12
	FullEpolls        = 13
	MissedReturns     = 14
	UnseenReturns     = 15
	UntimedEvents     = 16
	Counters          = 17
)

// enum listing_size of bpf/abi/listing.h.
const (
	ListedFds = 8
)

// ListedThread is struct listed_thread of bpf/abi/listing.h.
type ListedThread struct {
	_        structs.HostLayout
	Pointer  uint64
	Now      uint64
	Clock    uint64
	Left     uint64
	Switches uint64
	Args     [5]uint64
	Tgid     uint32
	Tid      uint32
	Nr       int32
	State    uint32
	Stopped  uint32
	Pad      uint32
}

// WantedFds is struct wanted_fds of bpf/abi/listing.h.
type WantedFds struct {
	_  structs.HostLayout
	N  uint32
	Fd [8]int32
}

// ListedSocket is struct listed_socket of bpf/abi/listing.h.
type ListedSocket struct {
	_      structs.HostLayout
	Tid    uint32
	Pad    uint32
	Target Target
}

// enum stack_size of bpf/abi/python.h.
const (
	StackLeaf       = 192
	StackRoot       = 64
	StackMax        = 256
	HolderLeaf      = 48
	HolderRoot      = 16
	HolderMax       = 64
	WalkMax         = 4096
	WalkMaxUnrolled = 128
)

// enum instr_kind of bpf/abi/python.h.
const (
	InstrBytes   = 0
	InstrUnits   = 1
	InstrPointer = 2
)

// enum instr_value of bpf/abi/python.h.
const (
	InstrNotStarted = -1
	InstrUnknown    = -2147483648
)

// PyLayout is struct py_layout of bpf/abi/python.h.
type PyLayout struct {
	_               structs.HostLayout
	TstateThreadId  uint32
	TstateFrame     uint32
	ViaCframe       uint32
	CframeFrame     uint32
	FrameCode       uint32
	FramePrevious   uint32
	FrameInstr      uint32
	FrameOwner      uint32
	ShimOwners      uint32
	CodeTagMask     uint32
	InstrKind       uint32
	CodeFile        uint32
	CodeLine        uint32
	CodeAdaptive    uint32
	TstateNext      uint32
	GilSize         uint32
	GilLocked       uint32
	GilHolder       uint32
	FrameLocals     uint32
	TstateTask      uint32
	DictKeys        uint32
	KeysLog2        uint32
	KeysCount       uint32
	KeysIndex       uint32
	TaskCoro        uint32
	TaskName        uint32
	CoroFrame       uint32
	CoroFrameInside uint32
	StrLength       uint32
	StrState        uint32
	StrAscii        uint32
	StrCompact      uint32
	StrKindBit      uint32
	StrAsciiBit     uint32
}

// PyFrame is struct py_frame of bpf/abi/python.h.
type PyFrame struct {
	_     structs.HostLayout
	Code  uint64
	Instr int32
	Check uint32
}

// Stack is struct stack of bpf/abi/python.h.
type Stack struct {
	_      structs.HostLayout
	Depth  uint32
	Failed uint32
	Frames [256]PyFrame
}

// ShortStack is struct short_stack of bpf/abi/python.h.
type ShortStack struct {
	_      structs.HostLayout
	Depth  uint32
	Failed uint32
	Frames [64]PyFrame
}

// enum caller of bpf/abi/python.h.
const (
	CallerNone = 0
	CallerRoot = 1
)

// enum frame_owner of bpf/abi/python.h.
const (
	OwnerGenerator = 1
	OwnerUnknown   = 255
)

// PyCallback is struct py_callback of bpf/abi/python.h.
type PyCallback struct {
	_     structs.HostLayout
	Code  uint64
	Inner uint64
	Frame uint64
	Local uint64
	Owner uint32
	Pad   uint32
}

// enum task_size of bpf/abi/python.h.
const (
	TaskNameHead = 56
	TaskNameMax  = 128
	TasksRunning = 8
)

// PyTask is struct py_task of bpf/abi/python.h.
type PyTask struct {
	_       structs.HostLayout
	Task    uint64
	Name    uint64
	Bytes   uint32
	Depth   uint32
	Running uint32
	Pad     uint32
	Object  [128]uint8
}

// enum record_type of bpf/abi/records.h.
const (
	RecordWait    = 1
	RecordSample  = 2
	RecordBlock   = 3
	RecordExec    = 4
	RecordExit    = 5
	RecordDelayed = 6
	RecordCrossed = 7
	RecordHolder  = 8
	RecordUsdt    = 9
)

// WaitRecord is struct wait_record of bpf/abi/records.h.
type WaitRecord struct {
	_        structs.HostLayout
	Type     uint32
	Tgid     uint32
	Tid      uint32
	Fd       int32
	ThreadId uint64
	Period   uint64
	HasStack uint32
	Pad      uint32
	Stack    Stack
}

// enum record_size of bpf/abi/records.h.
const (
	CommLen      = 16
	KernelFrames = 16
)

// enum sample_kind of bpf/abi/records.h.
const (
	SampleOff  = 1
	SampleTick = 2
)

// enum sample_flag of bpf/abi/records.h.
const (
	FlagGc       = 1
	FlagGilKnown = 2
	FlagGilHeld  = 4
)

// Sample is struct sample of bpf/abi/records.h.
type Sample struct {
	_           structs.HostLayout
	Type        uint32
	Tid         uint32
	Period      uint64
	At          uint64
	Ns          uint64
	CpuNs       uint64
	WaitedNs    uint64
	ThrottledNs uint64
	Ip          uint64
	Args        [3]uint64
	Kind        uint32
	Nr          int32
	State       uint32
	Stopped     uint32
	Flags       uint32
	Phase       uint32
	KernelDepth uint32
	_           [4]byte
	Kernel      [16]uint64
	Target      Target
	Fds         [8]int32
	Task        PyTask
	Callback    PyCallback
	Stack       Stack
}

// Holder is struct holder of bpf/abi/records.h.
type Holder struct {
	_          structs.HostLayout
	Type       uint32
	Tid        uint32
	Period     uint64
	At         uint64
	ThreadId   uint64
	HolderTgid uint32
	HolderTid  uint32
	Comm       [16]int8
	Stack      ShortStack
}

// HeldSample is struct held_sample of bpf/abi/records.h.
type HeldSample struct {
	_      structs.HostLayout
	Sample Sample
	Holder Holder
}

// enum block_flag of bpf/abi/records.h.
const (
	BlockExited = 1
	BlockSeeded = 2
)

// BlockRecord is struct block_record of bpf/abi/records.h.
type BlockRecord struct {
	_           structs.HostLayout
	Type        uint32
	Tgid        uint32
	Tid         uint32
	Flags       uint32
	Period      uint64
	Start       uint64
	End         uint64
	OffNs       uint64
	WaitedNs    uint64
	ThrottledNs uint64
	StoppedNs   uint64
	ReadyAt     uint64
	StacklessNs uint64
	Stackless   Stackless
	Late        Late
	Samples     uint32
	Pad         uint32
}

// enum delayed_size of bpf/abi/records.h.
const (
	DelayedEvents  = 128
	DelayedSources = 16
	SourceName     = 108
	WakeupNumbers  = 8
	NoRank         = 255
)

// enum source_kind of bpf/abi/records.h.
const (
	SourceOther     = 0
	SourceInet      = 1
	SourceUnix      = 2
	SourcePair      = 3
	SourceSocket    = 4
	SourcePipe      = 5
	SourceAnonymous = 6
	SourcePidfd     = 7
	SourceDevice    = 8
)

// EventSource is struct event_source of bpf/abi/records.h.
type EventSource struct {
	_        structs.HostLayout
	Address  [2]uint64
	Kind     uint8
	Family   uint8
	Protocol uint8
	Rank     uint8
	Port     uint16
	Type     uint8
	Pad      uint8
	Events   uint32
	Len      uint32
	Name     [108]uint8
	Pad2     uint32
}

// DelayedRecord is struct delayed_record of bpf/abi/records.h.
type DelayedRecord struct {
	_       structs.HostLayout
	Type    uint32
	Tgid    uint32
	Tid     uint32
	Events  int32
	Period  uint64
	Timer   uint32
	Sources uint32
	Source  [16]EventSource
}

// LifeRecord is struct life_record of bpf/abi/records.h.
type LifeRecord struct {
	_    structs.HostLayout
	Type uint32
	Tgid uint32
	Tid  uint32
	Last uint32
}

// enum histogram of bpf/abi/statistics.h.
const (
	HistMinShift   = 13
	HistMaxShift   = 37
	HistPartsShift = 4
	HistParts      = 16
	HistBuckets    = 386
)

// enum ready_size of bpf/abi/statistics.h.
const (
	ReadyMax = 64
)

// ReadyEvents is struct ready_events of bpf/abi/statistics.h.
type ReadyEvents struct {
	_        structs.HostLayout
	N        uint32
	Kept     uint32
	Returned uint32
	Pad      uint32
	Seen     uint64
	Events   [64]struct {
		_    structs.HostLayout
		Item uint64
		At   uint64
	}
}

// LoopStatistics is struct loop_statistics of bpf/abi/statistics.h.
type LoopStatistics struct {
	_              structs.HostLayout
	Iterations     uint64
	IdleNs         uint64
	ActiveNs       uint64
	LateNs         uint64
	MaxNs          uint64
	Blocks         uint64
	UnrestedNs     uint64
	UnrestedMaxNs  uint64
	Histogram      [386]uint64
	ReadyMaxNs     uint64
	ReadyHistogram [386]uint64
}

// enum target_size of bpf/abi/target.h.
const (
	NoFd       = -1
	TargetData = 256
	PollMax    = 8
	EpollMax   = 3
	Syscalls   = 512
)

// enum syscall_object of bpf/abi/target.h.
const (
	ObjectNone     = 0
	ObjectFd       = 1
	ObjectFd4      = 2
	ObjectConnect  = 3
	ObjectSendto   = 4
	ObjectSendmsg  = 5
	ObjectSendfile = 6
	ObjectSplice   = 7
	ObjectPath     = 8
	ObjectPath1    = 9
	ObjectPathat   = 10
	ObjectPathat1  = 11
	ObjectPoll     = 12
	ObjectSelect   = 13
	ObjectEpoll    = 14
	ObjectWait     = 15
	ObjectWaitid   = 16
	ObjectFork     = 17
)

// enum descriptor_rank of bpf/abi/target.h.
const (
	RankNone      = 0
	RankAnonymous = 1
	RankFile      = 2
	RankChild     = 3
	RankSocket    = 4
	RankInet      = 5
)

// enum target_kind of bpf/abi/target.h.
const (
	TargetNone   = 0
	TargetFile   = 1
	TargetPath   = 2
	TargetInet   = 3
	TargetUnix   = 4
	TargetSocket = 5
	TargetChild  = 6
)

// enum target_flag of bpf/abi/target.h.
const (
	TargetCut      = 1
	TargetDeleted  = 2
	TargetDetached = 4
	TargetLocal    = 8
	TargetListen   = 16
)

// Target is struct target of bpf/abi/target.h.
type Target struct {
	_        structs.HostLayout
	Kind     uint8
	Flags    uint8
	Len      uint16
	Fd       int32
	Mode     uint32
	Rdev     uint32
	Magic    uint32
	Pid      int32
	Family   uint16
	Port     uint16
	Type     uint8
	Protocol uint8
	Others   uint16
	Address  [16]uint8
	Data     [256]uint8
}

// enum thread_size of bpf/abi/thread.h.
const (
	NoSlot         = 4294967295
	FdsPerThread   = 4
	SamplesPerLoop = 12
	WantedMax      = 16384
)

// enum late_part of bpf/abi/thread.h.
const (
	LatePart = 10
)

// enum initial of bpf/abi/thread.h.
const (
	InitialGeneration = 1
	InitialEpoch      = 1
	InitialMark       = 1
)

// enum mark of bpf/abi/thread.h.
const (
	LastMark = 255
)

// enum verdict of bpf/abi/thread.h.
const (
	VerdictPending = 0
	VerdictLoop    = 1
	VerdictIgnored = 2
)

// enum seed_pass of bpf/abi/thread.h.
const (
	SeedActive = 1
	SeedRest   = 2
)

// enum thread_description of bpf/abi/thread.h.
const (
	ThreadDescriptionX86   = 0
	ThreadDescriptionArm64 = 8192
)

// Process is struct process of bpf/abi/thread.h.
type Process struct {
	_       structs.HostLayout
	AskedAt uint64
	Verdict uint32
	Tries   uint32
	Threads uint64
	Layout  uint32
	Pad     uint32
}

// ThreadConfig is struct thread_config of bpf/abi/thread.h.
type ThreadConfig struct {
	_          structs.HostLayout
	Tstate     uint64
	ThreadId   uint64
	RestCode   uint64
	Gil        uint64
	Collecting uint64
	Threads    uint64
	Tasks      uint64
	Layout     uint32
	Slot       uint32
	Fds        [4]int32
	FdVerdicts [4]uint8
	Verdict    uint8
	Pad        [3]uint8
	Tid        uint32
	Pad2       uint32
	CallerCode uint64
}

// Stackless is struct stackless of bpf/abi/thread.h.
type Stackless struct {
	_    structs.HostLayout
	At   uint64
	Ns   uint64
	Args [3]uint64
	Nr   int32
	Pad  uint32
}

// Late is struct late of bpf/abi/thread.h.
type Late struct {
	_           structs.HostLayout
	Ns          uint64
	ThrottledNs uint64
	StoppedNs   uint64
	RanNs       uint64
	AsleepNs    uint64
}

// Thread is struct thread of bpf/abi/thread.h.
type Thread struct {
	_              structs.HostLayout
	Since          uint64
	Period         uint64
	OffSince       uint64
	OffExec        uint64
	OffClock       uint64
	OffNs          uint64
	WaitedNs       uint64
	ThrottledNs    uint64
	StoppedNs      uint64
	PendingNs      uint64
	StacklessNs    uint64
	WokenAt        uint64
	RunDelay       uint64
	QuotaRq        uint64
	QuotaClock     uint64
	LastTick       uint64
	Preempted      uint64
	RestedAt       uint64
	RestedPeriod   uint64
	Epoll          uint64
	ReadyAt        uint64
	LateFrom       uint64
	LateStoppedNs  uint64
	StopSince      uint64
	StopDeadline   uint64
	InterruptedAt  uint64
	Deadline       uint64
	Due            uint64
	AskedAt        uint64
	ThreadId       uint64
	Tgid           uint32
	Generation     uint32
	WaitFd         int32
	Held           uint32
	Samples        uint32
	InWait         uint8
	Asleep         uint8
	Stopped        uint8
	Throttled      uint8
	HasStack       uint8
	Crossed        uint8
	Resting        uint8
	Seeded         uint8
	AskedWithStack uint8
	Asks           uint8
	AskLost        uint8
	Slept          uint8
	Blocked        uint8
	Again          uint8
	Unreleased     uint8
	Released       uint8
	Prompted       uint8
	Pad            [3]uint8
	AskedFd        int32
	EpollFd        int32
	InterruptedFd  int32
	_              [4]byte
	Late           Late
	Joined         Late
	Stackless      Stackless
	Config         ThreadConfig
}

// ThreadPointer is struct thread_pointer of bpf/abi/thread.h.
type ThreadPointer struct {
	_       structs.HostLayout
	Pointer uint64
	Tid     uint32
	Pad     uint32
}

// enum usdt_size of bpf/abi/usdt.h.
const (
	UsdtSites     = 512
	UsdtModuleLen = 64
	UsdtEventLen  = 32
	UsdtAudits    = 8
)

// enum usdt_probe of bpf/abi/usdt.h.
const (
	UsdtGcStart     = 1
	UsdtGcDone      = 2
	UsdtImportStart = 3
	UsdtImportDone  = 4
	UsdtAudit       = 5
)

// enum usdt_how of bpf/abi/usdt.h.
const (
	UsdtUnknown  = 0
	UsdtConstant = 1
	UsdtRegister = 2
	UsdtMemory   = 3
)

// UsdtArg is struct usdt_arg of bpf/abi/usdt.h.
type UsdtArg struct {
	_        structs.HostLayout
	Offset   int64
	Reg      uint16
	How      uint8
	Size     uint8
	IsSigned uint8
	Pad      [3]uint8
}

// UsdtSite is struct usdt_site of bpf/abi/usdt.h.
type UsdtSite struct {
	_     structs.HostLayout
	Probe uint32
	Pad   uint32
	Arg   UsdtArg
}

// enum phase of bpf/abi/usdt.h.
const (
	PhaseNone   = 0
	PhaseGc     = 1
	PhaseImport = 2
	Phases      = 2
)

// PhaseTime is struct phase_time of bpf/abi/usdt.h.
type PhaseTime struct {
	_                 structs.HostLayout
	Ns                uint64
	OffNs             uint64
	WaitedOrStoppedNs uint64
}

// AuditEvent is struct audit_event of bpf/abi/usdt.h.
type AuditEvent struct {
	_     structs.HostLayout
	At    uint64
	Count uint32
	Name  [32]int8
	Pad   uint32
}

// UsdtAccount is struct usdt_account of bpf/abi/usdt.h.
type UsdtAccount struct {
	_                 structs.HostLayout
	Type              uint32
	Tid               uint32
	Period            uint64
	Phase             uint32
	ImportsOpen       uint32
	Since             uint64
	OffNs             uint64
	WaitedOrStoppedNs uint64
	GcSince           uint64
	ImportSince       uint64
	Phases            [2]PhaseTime
	GcNs              uint64
	GcMaxNs           uint64
	GcCollected       int64
	Gcs               uint32
	GcGeneration      int32
	GcMaxGeneration   int32
	Imports           uint32
	ImportNs          uint64
	ImportMaxNs       uint64
	Module            [64]int8
	MaxModule         [64]int8
	AuditsMore        uint32
	Pad               uint32
	Audits            [8]AuditEvent
}
