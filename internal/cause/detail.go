// SPDX-License-Identifier: Apache-2.0

package cause

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/syscalls"
)

// Detail returns the evidence that a call is for the cause of a sleep or a run: its name, its descriptor and its target.
func Detail(c Call, of model.Cause) model.Detail {
	d := model.Detail{Target: targetText(&c.Target, of)}
	if c.Number < 0 {
		return d
	}
	call := syscalls.Lookup(c.Number)
	d.Syscall = call.Name
	if call.HasFD() && c.Target.FD >= 0 {
		fd := c.Target.FD
		d.FD = &fd
	}
	return d
}

// targetText says what a thread waited for, in the words of docs/targets.md. It is empty where that is not known, or where
// the cause is not of that kind.
func targetText(t *syscalls.Target, c model.Cause) string {
	if kind := c.Kind(); kind == model.KindContended || kind == model.KindHeldBack {
		return ""
	}
	switch c {
	case model.CauseSleep:
		if t.Magic != syscalls.AnonInodeFS {
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
func describe(t *syscalls.Target) (text string, names bool) {
	switch t.Kind {
	case syscalls.FileTarget:
		return fileText(t)
	case syscalls.PathTarget:
		return t.Path, true
	case syscalls.InetTarget:
		return inetText(t)
	case syscalls.UnixTarget:
		return unixText(t)
	case syscalls.SocketTarget:
		if name := families[t.Family]; name != "" {
			return name, false
		}
		return fmt.Sprintf("socket of family %d", t.Family), false
	case syscalls.ChildTarget:
		return childText(t.Child), true
	}
	return "", false
}

func fileText(t *syscalls.Target) (text string, names bool) {
	switch {
	case t.Magic == syscalls.AnonInodeFS:
		return strings.Trim(t.Path, "[]"), false
	case t.Magic == syscalls.PipeFS:
		return "pipe", false
	case t.Deleted:
		return t.Path + " (deleted)", true
	case isTerminal(t):
		return "tty " + t.Path, true
	}
	return t.Path, true
}

func inetText(t *syscalls.Target) (text string, names bool) {
	name := syscalls.ProtocolName(t.Protocol, t.Datagram)
	switch {
	case t.Local && t.Address.Port() == 0:
		return name, false
	case t.Local && !t.Listens:
		return name + " " + t.Address.String() + " (local)", true
	}
	return name + " " + t.Address.String(), true
}

func unixText(t *syscalls.Target) (text string, names bool) {
	if t.Path == "" {
		return "unix", false
	}
	return "unix " + syscalls.UnixName(t.Path), true
}

func childText(pid int) string {
	if pid <= 0 {
		return "any child"
	}
	return fmt.Sprintf("child %d", pid)
}

var families = map[uint16]string{
	unix.AF_NETLINK: "netlink", unix.AF_PACKET: "packet", unix.AF_VSOCK: "vsock", unix.AF_BLUETOOTH: "bluetooth",
	unix.AF_CAN: "can", unix.AF_ALG: "alg", unix.AF_TIPC: "tipc", unix.AF_XDP: "xdp",
}
