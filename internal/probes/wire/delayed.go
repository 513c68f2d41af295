// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/abi"
)

func delayedOf(c *abi.DelayedRecord) *Delayed {
	d := &Delayed{TID: int(c.Tid), Period: c.Period, Events: int64(c.Events), Timer: c.Timer != 0}
	for i := range min(int(c.Sources), len(c.Source)) {
		d.By = append(d.By, sourceOf(&c.Source[i]))
	}
	return d
}

func sourceOf(c *abi.EventSource) Source {
	s := Source{Kind: SourceKind(c.Kind), Events: int64(c.Events), Protocol: c.Protocol, Datagram: c.Type == unix.SOCK_DGRAM, Rank: -1}
	if c.Rank < abi.WakeupNumbers {
		s.Rank = int(c.Rank)
	}
	var address [16]byte
	binary.NativeEndian.PutUint64(address[:8], c.Address[0])
	binary.NativeEndian.PutUint64(address[8:], c.Address[1])
	switch s.Kind {
	case InetSource:
		if c.Family == unix.AF_INET {
			s.Address = netip.AddrPortFrom(netip.AddrFrom4([4]byte(address[:4])), c.Port)
		} else {
			s.Address = netip.AddrPortFrom(netip.AddrFrom16(address).Unmap(), c.Port)
		}
	case UnixSource:
		s.Name = unixName(c.Name[:min(int(c.Len), len(c.Name))])
	case AnonymousSource:
		name, _, _ := bytes.Cut(address[:], []byte{0})
		s.Name = string(name)
	}
	return s
}
