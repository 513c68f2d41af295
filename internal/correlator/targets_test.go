// SPDX-License-Identifier: Apache-2.0

package correlator

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
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
		cause  model.Cause
		want   string
	}{
		{probes.Target{}, model.CauseNet, ""},
		{inet("127.0.0.1:80"), model.CauseNet, "tcp 127.0.0.1:80"},
		{inet("[::1]:80"), model.CauseNet, "tcp [::1]:80"},
		{listening, model.CauseNet, "tcp 127.0.0.1:80"},
		{local, model.CauseNet, "udp 127.0.0.1:80 (local)"},
		{several, model.CauseNet, "tcp 127.0.0.1:80 and 2 more"},
		{probes.Target{Kind: probes.UnixTarget, Path: "/run/x"}, model.CauseNet, "unix /run/x"},
		{probes.Target{Kind: probes.UnixTarget, Path: "\x00a\x00b"}, model.CauseNet, "unix @a@b"},
		{probes.Target{Kind: probes.UnixTarget}, model.CauseNet, "unix"},
		{probes.Target{Kind: probes.SocketTarget, Family: unix.AF_NETLINK}, model.CauseNet, "netlink"},
		{probes.Target{Kind: probes.SocketTarget, Family: 99}, model.CauseNet, "socket of family 99"},
		{pipe, model.CausePipe, "pipe"},
		{pipe, model.CauseSubprocess, "child 12"},
		{probes.Target{Kind: probes.ChildTarget}, model.CauseSubprocess, "any child"},
		{file(unix.S_IFIFO, 0, 1, "/a/fifo"), model.CausePipe, "/a/fifo"},
		{file(unix.S_IFCHR, 136<<20|3, 1, "/dev/pts/3"), model.CausePipe, "tty /dev/pts/3"},
		{file(0, 0, target.AnonInodeFS, "[timerfd]"), model.CauseSleep, "timerfd"},
		{deleted, model.CauseFile, "/a (deleted)"},
		{file(unix.S_IFREG, 0, 0, "/a"), model.CauseLock, ""},
	} {
		assert.Equal(t, test.want, targetText(&probes.Sample{Target: test.target}, test.cause), "%+v", test.target)
	}
}

func TestObjectCause(t *testing.T) {
	for _, test := range []struct {
		target probes.Target
		want   model.Cause
	}{
		{probes.Target{Kind: probes.FileTarget, Magic: target.AnonInodeFS, Path: "[timerfd]"}, model.CauseSleep},
		{probes.Target{Kind: probes.FileTarget, Magic: target.AnonInodeFS, Path: "[eventfd]"}, model.CausePipe},
		{probes.Target{Kind: probes.ChildTarget, Magic: target.AnonInodeFS}, model.CauseSubprocess},
		{probes.Target{Mode: unix.S_IFCHR, Device: 1<<20 | 8}, model.CauseFile},
		{probes.Target{Mode: unix.S_IFCHR, Device: 5 << 20}, model.CausePipe},
		{probes.Target{Magic: target.AnonInodeFS, Path: "[io_uring]"}, model.CauseUnknown}, // can be anything
		{probes.Target{}, model.CauseUnknown},
	} {
		assert.Equal(t, test.want, objectCause(&test.target, nil), "%+v", test.target)
	}
}
