// SPDX-License-Identifier: Apache-2.0

package cause

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/syscalls"
)

func TestDetail(t *testing.T) {
	three := 3
	socket := inet("127.0.0.1:80")
	socket.FD = three
	for _, test := range []struct {
		what  string
		call  Call
		cause model.Cause
		want  model.Detail
	}{
		{"a descriptor", Call{Number: unix.SYS_RECVFROM, Target: socket}, model.CauseNet, model.Detail{Syscall: "recvfrom", FD: &three, Target: "tcp 127.0.0.1:80"}},
		{"no descriptor", Call{Number: unix.SYS_OPENAT, Target: syscalls.Target{Kind: syscalls.PathTarget, Path: "/a", FD: none}}, model.CauseFile, model.Detail{Syscall: "openat", Target: "/a"}},
		{"a call without one", Call{Number: unix.SYS_WAIT4, Target: syscalls.Target{Kind: syscalls.ChildTarget, Child: 7}}, model.CauseSubprocess, model.Detail{Syscall: "wait4", Target: "child 7"}},
		{"no call", Call{Number: none, Target: syscalls.Target{Kind: syscalls.FileTarget, Path: "/a"}}, model.CauseFile, model.Detail{Target: "/a"}},
		{"another thread's fault", Call{Number: unix.SYS_FUTEX, Target: syscalls.Target{FD: none}}, model.CauseLock, model.Detail{Syscall: "futex"}},
	} {
		assert.Equal(t, test.want, Detail(test.call, test.cause), test.what)
	}
}

func TestTargetText(t *testing.T) {
	listening, local, several := inet("127.0.0.1:80"), inet("127.0.0.1:80"), inet("127.0.0.1:80")
	listening.Local, listening.Listens = true, true
	local.Local, local.Protocol = true, unix.IPPROTO_UDP
	several.Others = 2
	file := func(mode, device, magic uint32, path string) syscalls.Target {
		return syscalls.Target{Kind: syscalls.FileTarget, Mode: mode, Device: device, Magic: magic, Path: path}
	}
	pipe := file(unix.S_IFIFO, 0, syscalls.PipeFS, "")
	pipe.Child = 12
	deleted := file(unix.S_IFREG, 0, 0, "/a")
	deleted.Deleted = true
	for _, test := range []struct {
		target syscalls.Target
		cause  model.Cause
		want   string
	}{
		{syscalls.Target{}, model.CauseNet, ""},
		{inet("127.0.0.1:80"), model.CauseNet, "tcp 127.0.0.1:80"},
		{inet("[::1]:80"), model.CauseNet, "tcp [::1]:80"},
		{listening, model.CauseNet, "tcp 127.0.0.1:80"},
		{local, model.CauseNet, "udp 127.0.0.1:80 (local)"},
		{several, model.CauseNet, "tcp 127.0.0.1:80 and 2 more"},
		{syscalls.Target{Kind: syscalls.UnixTarget, Path: "/run/x"}, model.CauseNet, "unix /run/x"},
		{syscalls.Target{Kind: syscalls.UnixTarget, Path: "\x00a\x00b"}, model.CauseNet, "unix @a@b"},
		{syscalls.Target{Kind: syscalls.UnixTarget}, model.CauseNet, "unix"},
		{syscalls.Target{Kind: syscalls.SocketTarget, Family: unix.AF_NETLINK}, model.CauseNet, "netlink"},
		{syscalls.Target{Kind: syscalls.SocketTarget, Family: 99}, model.CauseNet, "socket of family 99"},
		{pipe, model.CausePipe, "pipe"},
		{pipe, model.CauseSubprocess, "child 12"},
		{syscalls.Target{Kind: syscalls.ChildTarget}, model.CauseSubprocess, "any child"},
		{file(unix.S_IFIFO, 0, 1, "/a/fifo"), model.CausePipe, "/a/fifo"},
		{file(unix.S_IFCHR, 136<<20|3, 1, "/dev/pts/3"), model.CausePipe, "tty /dev/pts/3"},
		{file(0, 0, syscalls.AnonInodeFS, "[timerfd]"), model.CauseSleep, "timerfd"},
		{deleted, model.CauseFile, "/a (deleted)"},
		{file(unix.S_IFREG, 0, 0, "/a"), model.CauseLock, ""},
	} {
		assert.Equal(t, test.want, targetText(&test.target, test.cause), "%+v", test.target)
	}
}
