// SPDX-License-Identifier: Apache-2.0

package correlator

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/report"
)

// family is what a syscall's name alone says about why its caller sleeps in it.
type family uint8

const (
	familyUnknown family = iota
	familySleep
	familyNet
	familyFile
	familyChild
	familyFutex
	familyByFD   // as the descriptor in its first argument says
	familyPoll   // poll: no descriptors is sleep, else as the first descriptor says
	familySelect // select: no descriptors is sleep
)

type syscallInfo struct {
	name   string
	family family
	fd     bool // the first argument is a descriptor
}

// syscalls that a Python program sleeps in. What is not here is named by its number.
var syscalls = map[int]syscallInfo{
	unix.SYS_NANOSLEEP:       {"nanosleep", familySleep, false},
	unix.SYS_CLOCK_NANOSLEEP: {"clock_nanosleep", familySleep, false},
	unix.SYS_PPOLL:           {"ppoll", familyPoll, false},
	unix.SYS_PSELECT6:        {"pselect6", familySelect, false},
	unix.SYS_EPOLL_PWAIT:     {"epoll_pwait", familyUnknown, true},
	unix.SYS_EPOLL_PWAIT2:    {"epoll_pwait2", familyUnknown, true},

	unix.SYS_READ:       {"read", familyByFD, true},
	unix.SYS_WRITE:      {"write", familyByFD, true},
	unix.SYS_READV:      {"readv", familyByFD, true},
	unix.SYS_WRITEV:     {"writev", familyByFD, true},
	unix.SYS_PREAD64:    {"pread64", familyByFD, true},
	unix.SYS_PWRITE64:   {"pwrite64", familyByFD, true},
	unix.SYS_PREADV:     {"preadv", familyByFD, true},
	unix.SYS_PWRITEV:    {"pwritev", familyByFD, true},
	unix.SYS_SENDFILE:   {"sendfile", familyByFD, true},
	unix.SYS_SPLICE:     {"splice", familyByFD, true},
	unix.SYS_IOCTL:      {"ioctl", familyByFD, true},
	unix.SYS_CLOSE:      {"close", familyByFD, true},
	unix.SYS_FLOCK:      {"flock", familyFile, true},
	unix.SYS_FCNTL:      {"fcntl", familyByFD, true},
	unix.SYS_RECVFROM:   {"recvfrom", familyNet, true},
	unix.SYS_RECVMSG:    {"recvmsg", familyNet, true},
	unix.SYS_RECVMMSG:   {"recvmmsg", familyNet, true},
	unix.SYS_SENDTO:     {"sendto", familyNet, true},
	unix.SYS_SENDMSG:    {"sendmsg", familyNet, true},
	unix.SYS_SENDMMSG:   {"sendmmsg", familyNet, true},
	unix.SYS_CONNECT:    {"connect", familyNet, true},
	unix.SYS_ACCEPT:     {"accept", familyNet, true},
	unix.SYS_ACCEPT4:    {"accept4", familyNet, true},
	unix.SYS_FSYNC:      {"fsync", familyFile, true},
	unix.SYS_FDATASYNC:  {"fdatasync", familyFile, true},
	unix.SYS_SYNC:       {"sync", familyFile, false},
	unix.SYS_SYNCFS:     {"syncfs", familyFile, true},
	unix.SYS_FTRUNCATE:  {"ftruncate", familyFile, true},
	unix.SYS_FALLOCATE:  {"fallocate", familyFile, true},
	unix.SYS_GETDENTS64: {"getdents64", familyFile, true},
	unix.SYS_FSTAT:      {"fstat", familyFile, true},
	unix.SYS_STATX:      {"statx", familyFile, false},
	unix.SYS_OPENAT:     {"openat", familyFile, false},
	unix.SYS_OPENAT2:    {"openat2", familyFile, false},
	unix.SYS_UNLINKAT:   {"unlinkat", familyFile, false},
	unix.SYS_RENAMEAT2:  {"renameat2", familyFile, false},
	unix.SYS_MKDIRAT:    {"mkdirat", familyFile, false},
	unix.SYS_MSYNC:      {"msync", familyFile, false},

	unix.SYS_WAIT4:    {"wait4", familyChild, false},
	unix.SYS_WAITID:   {"waitid", familyChild, false},
	unix.SYS_CLONE:    {"clone", familyChild, false},
	unix.SYS_CLONE3:   {"clone3", familyChild, false},
	unix.SYS_EXECVE:   {"execve", familyChild, false},
	unix.SYS_EXECVEAT: {"execveat", familyChild, false},

	unix.SYS_FUTEX: {"futex", familyFutex, false},
}

// restful tells whether a thread sleeps in something a loop may rest in. It may have to wait for
// the GIL in the same frame.
func restful(s *probes.Sample) bool {
	switch info := syscalls[s.Syscall]; info.family {
	case familySleep, familyPoll, familySelect:
		return true
	default:
		return strings.HasPrefix(info.name, "epoll_")
	}
}

// Bits of a task's state (include/linux/sched.h: __TASK_STOPPED, __TASK_TRACED).
const stoppedStates = 0x4 | 0x8

// offCause says what a thread slept in. leaf is its innermost Python frame, or nil.
func (t *thread) offCause(s *probes.Sample, leaf *report.Frame) report.Cause {
	if s.State&stoppedStates != 0 {
		return report.CauseStopped
	}
	switch syscalls[s.Syscall].family {
	case familySleep:
		return report.CauseSleep
	case familyNet:
		return netCause(s, leaf)
	case familyFile:
		return report.CauseFile
	case familyChild:
		return report.CauseSubprocess
	case familyFutex:
		if t.isGIL(s.Args[0]) {
			return report.CauseGIL
		}
		return report.CauseLock
	case familyByFD:
		return fdCause(s, leaf)
	case familyPoll:
		if s.Args[1] == 0 {
			return report.CauseSleep
		}
		return fdCause(s, leaf)
	case familySelect:
		if s.Args[0] == 0 {
			return report.CauseSleep
		}
	}
	return report.CauseUnknown
}

// fdCause goes by the kind of file behind the descriptor.
func fdCause(s *probes.Sample, leaf *report.Frame) report.Cause {
	switch s.Mode & unix.S_IFMT {
	case unix.S_IFSOCK:
		return netCause(s, leaf)
	case unix.S_IFREG, unix.S_IFBLK, unix.S_IFDIR:
		return report.CauseFile
	case unix.S_IFIFO:
		// subprocess reads a pipe until the child has managed to exec.
		if leaf != nil && strings.HasSuffix(leaf.File, "/subprocess.py") && strings.HasSuffix(leaf.Function, "_execute_child") {
			return report.CauseSubprocess
		}
		return report.CausePipe
	case unix.S_IFCHR:
		return report.CausePipe
	}
	return report.CauseUnknown
}

const dnsPort = 53

func netCause(s *probes.Sample, leaf *report.Frame) report.Cause {
	if s.Port == dnsPort && (s.Family == unix.AF_INET || s.Family == unix.AF_INET6) {
		return report.CauseDNS
	}
	if leaf != nil && leaf.Function == "getaddrinfo" && strings.HasSuffix(leaf.File, "/socket.py") {
		return report.CauseDNS
	}
	return report.CauseNet
}

// tickCause says what a thread ran when it was found running, and the native module if so.
func (t *thread) tickCause(s *probes.Sample, leaf *report.Frame) (report.Cause, string) {
	if s.Syscall >= 0 { // in the kernel on its own behalf
		if cause := t.offCause(s, leaf); cause != report.CauseUnknown && cause != report.CauseLock && cause != report.CauseGIL {
			return cause, ""
		}
	}
	name, interpreter := t.proc.modules().Find(s.IP)
	if name == "" {
		t.proc.mapModules()
		name, interpreter = t.proc.modules().Find(s.IP)
	}
	switch {
	case interpreter, name == "", strings.HasPrefix(name, "["):
		return report.CauseCPU, ""
	case strings.HasPrefix(name, "libc.so"), strings.HasPrefix(name, "libc-"), strings.HasPrefix(name, "ld-"), strings.HasPrefix(name, "ld-musl"):
		// Every interpreter spends time in its C library.
		return report.CauseCPU, ""
	}
	return report.CauseNative, name
}
