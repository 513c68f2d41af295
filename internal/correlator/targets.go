// SPDX-License-Identifier: Apache-2.0

package correlator

import (
	"cmp"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/kernelstack"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/syscalls"
	"github.com/loopwatch/loopwatch/internal/target"
)

// kernelCauses is what a place in the kernel means where the syscall says nothing.
var kernelCauses = map[kernelstack.Place]model.Cause{
	kernelstack.Elsewhere: model.CauseUnknown,
	kernelstack.Disk:      model.CauseFile,
	kernelstack.Pipe:      model.CausePipe,
	kernelstack.Network:   model.CauseNet,
	kernelstack.Child:     model.CauseSubprocess,
}

// targetCause goes by the syscall and by what it works on.
func targetCause(s *probes.Sample, call syscalls.Call, leaf *model.Frame) model.Cause {
	switch call.Waits {
	case syscalls.Time:
		return model.CauseSleep
	case syscalls.Network:
		return model.CauseNet
	case syscalls.File:
		return model.CauseFile
	case syscalls.Child:
		return model.CauseSubprocess
	case syscalls.Lock:
		return model.CauseLock
	case syscalls.Queue:
		return model.CausePipe
	case syscalls.Readiness:
		if s.Args[countArgument(call)] == 0 {
			return model.CauseSleep
		}
		return objectCause(&s.Target, leaf)
	case syscalls.ByObject:
		return objectCause(&s.Target, leaf)
	}
	if s.Syscall < 0 && s.Target.Kind == probes.FileTarget { // a page of it was missing
		return model.CauseFile
	}
	return model.CauseUnknown
}

// countArgument is the argument in which poll and select say how many descriptors they watch.
func countArgument(call syscalls.Call) int {
	if call.Object == syscalls.Select {
		return 0
	}
	return 1
}

// objectCause goes by the kind of file.
func objectCause(t *probes.Target, leaf *model.Frame) model.Cause {
	if t.Kind == probes.ChildTarget {
		return model.CauseSubprocess
	}
	if t.Magic == target.AnonInodeFS {
		return cmp.Or(anonymousCauses[t.Path], model.CauseUnknown)
	}
	switch t.Mode & unix.S_IFMT {
	case unix.S_IFSOCK:
		return model.CauseNet
	case unix.S_IFREG, unix.S_IFBLK, unix.S_IFDIR:
		return model.CauseFile
	case unix.S_IFIFO:
		if startingChild(leaf) {
			return model.CauseSubprocess
		}
		return model.CausePipe
	case unix.S_IFCHR:
		if isTerminal(t) {
			return model.CausePipe
		}
		return model.CauseFile
	}
	return model.CauseUnknown
}

// anonymousCauses are files of the kernel's making, by its names for them. An eventfd is written
// to by another thread, as a pipe is. A file that is not listed here can be anything.
var anonymousCauses = map[string]model.Cause{
	"[timerfd]":  model.CauseSleep,
	"[eventfd]":  model.CausePipe,
	"inotify":    model.CauseFile,
	"[fanotify]": model.CauseFile,
	"[pidfd]":    model.CauseSubprocess,
}

// startingChild tells the pipe from which subprocess reads until the child has become its program.
func startingChild(leaf *model.Frame) bool {
	return leaf != nil && strings.HasSuffix(leaf.File, "/subprocess.py") && strings.HasSuffix(leaf.Function, "_execute_child")
}

// isTerminal goes by the device's number (Documentation/admin-guide/devices.txt).
func isTerminal(t *probes.Target) bool {
	if t.Mode&unix.S_IFMT != unix.S_IFCHR {
		return false
	}
	switch major := t.Device >> 20; {
	case major == 4, major == 5, major >= 136 && major <= 143: // ttyN and ttySN, tty and ptmx, pts
		return true
	case major == 166, major == 188, major == 204, major == 229: // ttyACM, ttyUSB, ttyAMA, hvc
		return true
	}
	return false
}

const dnsPort = 53

// resolverSockets are those of local resolvers that do nothing else.
var resolverSockets = []string{"/run/systemd/resolve/io.systemd.Resolve", "/run/avahi-daemon/socket", "/run/dnsmasq.sock"}

// resolving tells whether a wait is for a name to be resolved: a socket to port 53, or one of the
// functions of socket.py that call the C library's resolver.
func resolving(s *probes.Sample, leaf *model.Frame) bool {
	if leaf != nil && strings.HasSuffix(leaf.File, "/socket.py") && (leaf.Function == "getaddrinfo" || leaf.Function == "getfqdn") {
		return true
	}
	switch t := &s.Target; t.Kind {
	case probes.InetTarget:
		return t.Address.Port() == dnsPort && !t.Local
	case probes.UnixTarget:
		for _, path := range resolverSockets {
			if t.Path == path {
				return true
			}
		}
	}
	return false
}

// targetText says what a sample's thread waited for, in the words of docs/targets.md; "" where that is not
// known, or where the cause is not of that kind.
func targetText(s *probes.Sample, cause model.Cause) string {
	t := &s.Target
	if kind := cause.Kind(); kind == model.KindContended || kind == model.KindHeldBack {
		return ""
	}
	switch cause {
	case model.CauseSleep:
		if t.Magic != target.AnonInodeFS {
			return ""
		}
	case model.CauseSubprocess:
		if t.Mode&unix.S_IFMT == unix.S_IFIFO && t.Child > 0 {
			return childText(t.Child)
		}
	}
	text, names := describe(t)
	if t.Others > 0 && names {
		text += fmt.Sprintf(" and %d more", t.Others)
	}
	return text
}

// describe returns the words for a target, and whether they name one of several of its kind.
func describe(t *probes.Target) (text string, names bool) {
	switch t.Kind {
	case probes.FileTarget:
		return fileText(t)
	case probes.PathTarget:
		return t.Path, true
	case probes.InetTarget:
		return inetText(t)
	case probes.UnixTarget:
		if t.Path == "" {
			return "unix", false
		}
		if t.Path[0] == 0 {
			return "unix @" + strings.ReplaceAll(t.Path[1:], "\x00", "@"), true
		}
		return "unix " + t.Path, true
	case probes.SocketTarget:
		if name := families[t.Family]; name != "" {
			return name, false
		}
		return fmt.Sprintf("socket of family %d", t.Family), false
	case probes.ChildTarget:
		return childText(t.Child), true
	}
	return "", false
}

func fileText(t *probes.Target) (text string, names bool) {
	switch {
	case t.Magic == target.AnonInodeFS:
		return strings.Trim(t.Path, "[]"), false
	case t.Magic == target.PipeFS:
		return "pipe", false
	case t.Deleted:
		return t.Path + " (deleted)", true
	case isTerminal(t):
		return "tty " + t.Path, true
	}
	return t.Path, true
}

func inetText(t *probes.Target) (text string, names bool) {
	name := protocols[t.Protocol]
	switch {
	case name != "":
	case t.Datagram:
		name = "udp"
	default:
		name = fmt.Sprintf("protocol %d", t.Protocol)
	}
	switch {
	case t.Local && t.Address.Port() == 0:
		return name, false
	case t.Local && !t.Listens:
		return name + " " + t.Address.String() + " (local)", true
	}
	return name + " " + t.Address.String(), true
}

func childText(pid int) string {
	if pid <= 0 {
		return "any child"
	}
	return fmt.Sprintf("child %d", pid)
}

var protocols = map[uint8]string{
	unix.IPPROTO_TCP: "tcp", unix.IPPROTO_UDP: "udp", unix.IPPROTO_ICMP: "icmp", unix.IPPROTO_ICMPV6: "icmp6",
	unix.IPPROTO_SCTP: "sctp", unix.IPPROTO_DCCP: "dccp", unix.IPPROTO_UDPLITE: "udplite",
}

var families = map[uint16]string{
	unix.AF_NETLINK: "netlink", unix.AF_PACKET: "packet", unix.AF_VSOCK: "vsock", unix.AF_BLUETOOTH: "bluetooth",
	unix.AF_CAN: "can", unix.AF_ALG: "alg", unix.AF_TIPC: "tipc", unix.AF_XDP: "xdp",
}
