// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"bytes"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/abi"
)

// TargetKind tells which fields of a Target are set.
type TargetKind uint8

const (
	NoTarget     = TargetKind(abi.TargetNone)
	FileTarget   = TargetKind(abi.TargetFile)   // Path, Mode, Device, Magic
	PathTarget   = TargetKind(abi.TargetPath)   // Path, as the process gave it
	InetTarget   = TargetKind(abi.TargetInet)   // Address, Protocol
	UnixTarget   = TargetKind(abi.TargetUnix)   // Path, of an abstract name with NUL before it
	SocketTarget = TargetKind(abi.TargetSocket) // Family
	ChildTarget  = TargetKind(abi.TargetChild)  // Child
)

// Target is what a syscall works on, or the file whose page is missing, as the kernel knew it at
// that moment. Names are bytes of the process's making.
type Target struct {
	Kind     TargetKind
	FD       int    // descriptor, -1 none
	Mode     uint32 // i_mode behind it, 0 unknown
	Device   uint32 // of a device file, as the kernel numbers it: major << 20 | minor
	Magic    uint32 // of its file system
	Child    int    // pid as the host numbers it; 0 unknown. Of a pipe: the child made last
	Family   uint16
	Protocol uint8
	Datagram bool
	Others   int            // more descriptors of that sort were waited for
	Address  netip.AddrPort // of the peer, or where Local of the socket itself
	Local    bool
	Listens  bool
	Path     string
	Deleted  bool // the file has no name any more
	Detached bool // Path is no path: a name outside of all directories
}

func targetOf(c *abi.Target) Target {
	t := Target{
		Kind: TargetKind(c.Kind), FD: int(c.Fd), Mode: c.Mode, Device: c.Rdev, Magic: c.Magic, Child: int(c.Pid), Family: c.Family,
		Protocol: c.Protocol, Datagram: c.Type == unix.SOCK_DGRAM, Others: int(c.Others),
		Local: c.Flags&abi.TargetLocal != 0, Listens: c.Flags&abi.TargetListen != 0,
		Deleted: c.Flags&abi.TargetDeleted != 0, Detached: c.Flags&abi.TargetDetached != 0,
	}
	data := c.Data[:min(int(c.Len), len(c.Data))]
	cut := c.Flags&abi.TargetCut != 0
	switch t.Kind {
	case FileTarget:
		t.Path = joinPath(data, cut, t.Detached)
	case PathTarget:
		argument, base, _ := bytes.Cut(data, []byte{0})
		switch t.Path = string(argument); {
		case len(base) > 0 || !cut && !strings.HasPrefix(t.Path, "/"):
			t.Path = strings.TrimSuffix(joinPath(base, cut, false), "/") + "/" + t.Path
		case cut:
			t.Path = cutMark + t.Path
		}
	case UnixTarget:
		t.Path = unixName(data)
	case InetTarget:
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
