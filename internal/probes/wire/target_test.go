// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"

	"github.com/loopwatch/loopwatch/internal/abi"
	"github.com/loopwatch/loopwatch/internal/syscalls"
)

func target(kind syscalls.TargetKind, flags uint8, data string) *abi.Target {
	c := &abi.Target{Kind: uint8(kind), Flags: flags, Fd: -1, Len: uint16(len(data))}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&c.Data[0])), len(c.Data)), data)
	return c
}

func TestTargetPaths(t *testing.T) {
	for _, test := range []struct {
		kind  syscalls.TargetKind
		flags uint8
		data  string
		want  string
	}{
		{syscalls.FileTarget, 0, "", "/"},
		{syscalls.FileTarget, 0, "app.log\x00log\x00var\x00", "/var/log/app.log"},
		{syscalls.FileTarget, 0, "a\nb\x00", "/a\nb"},
		{syscalls.FileTarget, abi.TargetCut, "app.log\x00log\x00va", "…/log/app.log"},
		{syscalls.FileTarget, abi.TargetDetached, "[eventfd]\x00", "[eventfd]"},
		{syscalls.PathTarget, 0, "/etc/hosts\x00", "/etc/hosts"},
		{syscalls.PathTarget, 0, "hosts\x00etc\x00", "/etc/hosts"},
		{syscalls.PathTarget, 0, "hosts\x00", "/hosts"},
		{syscalls.PathTarget, 0, "../x\x00b\x00a\x00", "/a/b/../x"},
		{syscalls.PathTarget, abi.TargetCut, "end/of/it\x00", "…end/of/it"},
		{syscalls.UnixTarget, 0, "/run/x.sock\x00", "/run/x.sock"},
		{syscalls.UnixTarget, 0, "\x00a\x00b", "\x00a\x00b"},
		{syscalls.UnixTarget, 0, "", ""},
	} {
		assert.Equal(t, test.want, TargetOf(target(test.kind, test.flags, test.data)).Path, "%q", test.data)
	}
}

func TestTargetAddresses(t *testing.T) {
	c := target(syscalls.InetTarget, 0, "")
	c.Family, c.Port = 2, 5432
	copy(c.Address[:], []uint8{127, 0, 0, 1, 9, 9})
	assert.Equal(t, "127.0.0.1:5432", TargetOf(c).Address.String())
	c.Family = 10
	c.Address = [16]uint8{15: 1}
	assert.Equal(t, "[::1]:5432", TargetOf(c).Address.String())
	c.Address = [16]uint8{10: 255, 11: 255, 12: 10, 15: 1}
	assert.Equal(t, "10.0.0.1:5432", TargetOf(c).Address.String())
}

func FuzzTarget(f *testing.F) {
	f.Add(uint8(1), uint8(1), "a\x00b", uint16(700))
	f.Fuzz(func(t *testing.T, kind, flags uint8, data string, length uint16) {
		c := target(syscalls.TargetKind(kind), flags, data[:min(len(data), 256)])
		c.Len = length
		if n := len(TargetOf(c).Path); n > 270 {
			t.Fatalf("%d bytes", n)
		}
	})
}
