// SPDX-License-Identifier: Apache-2.0

package correlator

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/report"
	"github.com/loopwatch/loopwatch/internal/target"
)

func TestTargetText(t *testing.T) {
	listening, local, several := inet("127.0.0.1:80"), inet("127.0.0.1:80"), inet("127.0.0.1:80")
	listening.Local, listening.Listens = true, true
	local.Local, local.Protocol = true, unix.IPPROTO_UDP
	several.Others = 2
	file := func(mode, device, magic uint32, path string) probes.Target {
		return probes.Target{Kind: probes.FileTarget, Mode: mode, Device: device, Magic: magic, Path: path}
	}
	pipe := file(unix.S_IFIFO, 0, target.PipeFS, "")
	pipe.Child = 12
	deleted := file(unix.S_IFREG, 0, 0, "/a")
	deleted.Deleted = true
	for _, test := range []struct {
		target probes.Target
		cause  report.Cause
		want   string
	}{
		{probes.Target{}, report.CauseNet, ""},
		{inet("127.0.0.1:80"), report.CauseNet, "tcp 127.0.0.1:80"},
		{inet("[::1]:80"), report.CauseNet, "tcp [::1]:80"},
		{listening, report.CauseNet, "tcp 127.0.0.1:80"},
		{local, report.CauseNet, "udp 127.0.0.1:80 (local)"},
		{several, report.CauseNet, "tcp 127.0.0.1:80 and 2 more"},
		{probes.Target{Kind: probes.UnixTarget, Path: "/run/x"}, report.CauseNet, "unix /run/x"},
		{probes.Target{Kind: probes.UnixTarget, Path: "\x00a\x00b"}, report.CauseNet, "unix @a@b"},
		{probes.Target{Kind: probes.UnixTarget}, report.CauseNet, "unix"},
		{probes.Target{Kind: probes.SocketTarget, Family: unix.AF_NETLINK}, report.CauseNet, "netlink"},
		{probes.Target{Kind: probes.SocketTarget, Family: 99}, report.CauseNet, "socket of family 99"},
		{pipe, report.CausePipe, "pipe"},
		{pipe, report.CauseSubprocess, "child 12"},
		{probes.Target{Kind: probes.ChildTarget}, report.CauseSubprocess, "any child"},
		{file(unix.S_IFIFO, 0, 1, "/a/fifo"), report.CausePipe, "/a/fifo"},
		{file(unix.S_IFCHR, 136<<20|3, 1, "/dev/pts/3"), report.CausePipe, "tty /dev/pts/3"},
		{file(0, 0, target.AnonInodeFS, "[timerfd]"), report.CauseSleep, "timerfd"},
		{deleted, report.CauseFile, "/a (deleted)"},
		{file(unix.S_IFREG, 0, 0, "/a"), report.CauseLock, ""},
	} {
		assert.Equal(t, test.want, targetText(&probes.Sample{Target: test.target}, test.cause), "%+v", test.target)
	}
}

func TestObjectCause(t *testing.T) {
	for _, test := range []struct {
		target probes.Target
		want   report.Cause
	}{
		{probes.Target{Kind: probes.FileTarget, Magic: target.AnonInodeFS, Path: "[timerfd]"}, report.CauseSleep},
		{probes.Target{Kind: probes.FileTarget, Magic: target.AnonInodeFS, Path: "[eventfd]"}, report.CausePipe},
		{probes.Target{Kind: probes.ChildTarget, Magic: target.AnonInodeFS}, report.CauseSubprocess},
		{probes.Target{Mode: unix.S_IFCHR, Device: 1<<20 | 8}, report.CauseFile},
		{probes.Target{Mode: unix.S_IFCHR, Device: 5 << 20}, report.CausePipe},
		{probes.Target{Magic: target.AnonInodeFS, Path: "[io_uring]"}, report.CauseUnknown}, // can be anything
		{probes.Target{}, report.CauseUnknown},
	} {
		assert.Equal(t, test.want, objectCause(&test.target, nil), "%+v", test.target)
	}
}
