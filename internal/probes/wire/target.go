// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/abi"
	"github.com/loopwatch/loopwatch/internal/syscalls"
)

// Target is what a syscall works on, or the file whose page is missing, as the kernel knew it at
// that moment.
type Target = syscalls.Target

// TargetOf returns what a syscall works on.
func TargetOf(c *abi.Target) Target {
	t := Target{
		Kind: syscalls.TargetKind(c.Kind), FD: int(c.Fd), Mode: c.Mode, Device: c.Rdev, Magic: c.Magic, Child: int(c.Pid), Family: c.Family,
		Protocol: c.Protocol, Datagram: c.Type == unix.SOCK_DGRAM, Others: int(c.Others),
		Local: c.Flags&abi.TargetLocal != 0, Listens: c.Flags&abi.TargetListen != 0,
		Deleted: c.Flags&abi.TargetDeleted != 0, Detached: c.Flags&abi.TargetDetached != 0,
	}
	data := c.Data[:min(int(c.Len), len(c.Data))]
	cut := c.Flags&abi.TargetCut != 0
	switch t.Kind {
	case syscalls.FileTarget:
		t.Path = joinPath(data, cut, t.Detached)
	case syscalls.PathTarget:
		argument, base, _ := bytes.Cut(data, []byte{0})
		switch t.Path = string(argument); {
		case len(base) > 0 || !cut && !strings.HasPrefix(t.Path, "/"):
			t.Path = strings.TrimSuffix(joinPath(base, cut, false), "/") + "/" + t.Path
		case cut:
			t.Path = cutMark + t.Path
		}
	case syscalls.UnixTarget:
		t.Path = unixName(data)
	case syscalls.InetTarget:
		if t.Family == unix.AF_INET {
			t.Address = netip.AddrPortFrom(netip.AddrFrom4([4]byte(c.Address[:4])), c.Port)
		} else {
			t.Address = netip.AddrPortFrom(netip.AddrFrom16(c.Address).Unmap(), c.Port)
		}
	}
	return t
}

// cutMark stands for what of a path is missing.
const cutMark = "…"

// joinPath puts components, innermost first and each ended by NUL, into a path.
func joinPath(data []byte, cut, detached bool) string {
	if cut { // of the outermost, too, a part may be missing
		data = data[:bytes.LastIndexByte(data, 0)+1]
	}
	parts := bytes.Split(bytes.TrimSuffix(data, []byte{0}), []byte{0})
	var b strings.Builder
	if cut {
		b.WriteString(cutMark)
	}
	for i := len(parts) - 1; i >= 0; i-- {
		if !detached || i < len(parts)-1 {
			b.WriteByte('/')
		}
		b.Write(parts[i])
	}
	return b.String()
}

// unixName returns what stands in sun_path: an abstract name begins with NUL and is as long as it
// is, a path may end in NUL.
func unixName(data []byte) string {
	if len(data) > 0 && data[0] != 0 {
		data, _, _ = bytes.Cut(data, []byte{0})
	}
	return string(data)
}
