// SPDX-License-Identifier: Apache-2.0

package syscalls

import (
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/abi"
)

// TargetKind says which fields of a Target are set.
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

// targetKinds are the names of the kinds, in recordings.
var targetKinds = map[TargetKind]string{
	NoTarget: "none", FileTarget: "file", PathTarget: "path", InetTarget: "inet", UnixTarget: "unix",
	SocketTarget: "socket", ChildTarget: "child",
}

// MarshalText returns the name of a kind.
func (k TargetKind) MarshalText() ([]byte, error) {
	name, ok := targetKinds[k]
	if !ok {
		return nil, fmt.Errorf("no kind of target: %d", k)
	}
	return []byte(name), nil
}

// UnmarshalText sets k to the kind of this name.
func (k *TargetKind) UnmarshalText(name []byte) error {
	for kind, known := range targetKinds {
		if known == string(name) {
			*k = kind
			return nil
		}
	}
	return fmt.Errorf("no kind of target: %.20q", name)
}

// Target is what a call works on, or the file whose page is missing. Names are bytes of the process's making.
type Target struct {
	Kind     TargetKind     `json:"kind,omitempty"`
	FD       int            `json:"fd"`               // descriptor, -1 none
	Mode     uint32         `json:"mode,omitempty"`   // i_mode behind it, 0 unknown
	Device   uint32         `json:"device,omitempty"` // of a device file, as the kernel numbers it: major << 20 | minor
	Magic    uint32         `json:"magic,omitempty"`  // of its file system
	Child    int            `json:"child,omitempty"`  // pid as the host numbers it; 0 unknown. Of a pipe: the child made last
	Family   uint16         `json:"family,omitempty"`
	Protocol uint8          `json:"protocol,omitempty"`
	Datagram bool           `json:"datagram,omitempty"`
	Others   int            `json:"others,omitempty"` // more descriptors of that sort were waited for
	Address  netip.AddrPort `json:"address,omitzero"` // of the peer, or where Local of the socket itself
	Local    bool           `json:"local,omitempty"`
	Listens  bool           `json:"listens,omitempty"`
	Path     string         `json:"path,omitempty"`
	Deleted  bool           `json:"deleted,omitempty"`  // the file has no name any more
	Detached bool           `json:"detached,omitempty"` // Path is no path: a name outside of all directories
}

// Magic numbers of file systems without a path.
const (
	AnonInodeFS = unix.ANON_INODE_FS_MAGIC
	PipeFS      = unix.PIPEFS_MAGIC
)

var protocols = map[uint8]string{
	unix.IPPROTO_TCP: "tcp", unix.IPPROTO_UDP: "udp", unix.IPPROTO_ICMP: "icmp", unix.IPPROTO_ICMPV6: "icmp6",
	unix.IPPROTO_SCTP: "sctp", unix.IPPROTO_DCCP: "dccp", unix.IPPROTO_UDPLITE: "udplite",
}

// ProtocolName returns the name of a protocol of the internet, such as "tcp".
func ProtocolName(protocol uint8, datagram bool) string {
	switch name := protocols[protocol]; {
	case name != "":
		return name
	case datagram:
		return "udp"
	}
	return fmt.Sprintf("protocol %d", protocol)
}

// UnixName returns the name of a unix socket as people write it: with "@" for the NUL bytes of an abstract one.
func UnixName(name string) string {
	if strings.HasPrefix(name, "\x00") {
		return "@" + strings.ReplaceAll(name[1:], "\x00", "@")
	}
	return name
}
