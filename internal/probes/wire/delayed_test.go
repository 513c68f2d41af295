// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/abi"
)

func TestDelayedRecord(t *testing.T) {
	k := abi.DelayedRecord{Type: abi.RecordDelayed, Tid: 7, Events: 5, Period: 9, Timer: 1, Sources: 3}
	v4, v6 := [8]byte{10, 0, 0, 5}, netip.MustParseAddr("::ffff:10.0.0.6").As16()
	k.Source[0] = abi.EventSource{Kind: abi.SourceInet, Family: unix.AF_INET, Protocol: unix.IPPROTO_TCP, Port: 8080, Events: 3, Rank: abi.NoRank,
		Address: [2]uint64{binary.NativeEndian.Uint64(v4[:])}}
	k.Source[1] = abi.EventSource{Kind: abi.SourceInet, Family: unix.AF_INET6, Type: unix.SOCK_DGRAM, Port: 53, Events: 1, Rank: abi.NoRank,
		Address: [2]uint64{binary.NativeEndian.Uint64(v6[:8]), binary.NativeEndian.Uint64(v6[8:])}}
	k.Source[2] = abi.EventSource{Kind: abi.SourceUnix, Events: 1, Len: 200, Rank: 2} // longer than there is room
	copy(k.Source[2].Name[:], "/run/a.sock\x00x")
	raw := unsafe.Slice((*byte)(unsafe.Pointer(&k)), unsafe.Sizeof(k))
	want := &Delayed{TID: 7, Period: 9, Events: 5, Timer: true, By: []Source{
		{Kind: InetSource, Events: 3, Protocol: unix.IPPROTO_TCP, Address: netip.MustParseAddrPort("10.0.0.5:8080"), Rank: -1},
		{Kind: InetSource, Events: 1, Datagram: true, Address: netip.MustParseAddrPort("10.0.0.6:53"), Rank: -1},
		{Kind: UnixSource, Events: 1, Name: "/run/a.sock", Rank: 2},
	}}
	e, err := new(Decoder).Decode(raw)
	require.NoError(t, err)
	assert.Equal(t, want, e)

	// The record ends behind its sources; one that says it had more has empty ones.
	k.Sources = 0
	e, err = new(Decoder).Decode(raw[:unsafe.Offsetof(k.Source)])
	require.NoError(t, err)
	assert.Equal(t, &Delayed{TID: 7, Period: 9, Events: 5, Timer: true}, e)
	k.Sources = 1 << 30
	e, err = new(Decoder).Decode(raw[:unsafe.Offsetof(k.Source)])
	require.NoError(t, err)
	assert.Len(t, e.(*Delayed).By, abi.DelayedSources)
	_, err = new(Decoder).Decode(raw[:16])
	assert.Error(t, err)
}
