// SPDX-License-Identifier: Apache-2.0

package delayed

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
)

func TestWhoWaited(t *testing.T) {
	e := &wire.Delayed{Timer: true, By: []wire.Source{
		{Kind: wire.PairSource, Events: 1, Rank: 0},
		{Kind: wire.InetSource, Events: 2, Protocol: unix.IPPROTO_TCP, Address: netip.MustParseAddrPort("127.0.0.1:8080"), Rank: -1},
		{Kind: wire.UnixSource, Events: 3, Name: "/run/a.sock", Rank: -1},
		{Kind: wire.UnixSource, Events: 3, Name: "\x00name\x00", Rank: -1},
		{Kind: wire.PairSource, Events: 1, Rank: 1},
		{Kind: wire.PairSource, Events: 4, Rank: -1},
		{Kind: wire.AnonymousSource, Events: 1, Name: "[eventfd]", Rank: 0},
	}}
	assert.Equal(t, []model.DelayedBy{
		{Target: "socketpair", Events: 5}, {Target: "unix /run/a.sock", Events: 3}, {Target: "unix @name@", Events: 3}, {Target: "tcp 127.0.0.1:8080", Events: 2},
		{Target: "eventfd", Events: 1}, {Target: "timer", Events: 1}, {Target: "wakeup", Events: 1},
	}, by(e, eventloop.Asyncio))
	assert.Empty(t, by(&wire.Delayed{Events: 3}, eventloop.Asyncio))
}

func TestTheLoopsOwnWakeup(t *testing.T) {
	eventfd := wire.Source{Kind: wire.AnonymousSource, Name: "[eventfd]"}
	pair, pipe := wire.Source{Kind: wire.PairSource}, wire.Source{Kind: wire.PipeSource}
	own := map[eventloop.Kind][]wire.Source{
		eventloop.Asyncio: {pair}, eventloop.Tornado: {pair}, eventloop.Trio: {pair}, eventloop.Twisted: {pipe},
		eventloop.UVLoop: {eventfd}, eventloop.Gevent: {eventfd}, eventloop.Eventlet: {}, eventloop.Curio: {},
	}
	for _, kind := range eventloop.Kinds() {
		for _, s := range []wire.Source{eventfd, pair, pipe, {Kind: wire.AnonymousSource, Name: "[timerfd]"}, {Kind: wire.InetSource}} {
			for rank := -1; rank < 4; rank++ {
				s.Rank = rank
				first := rank == 0 || kind == eventloop.Trio && rank == 2
				s0 := s
				s0.Rank = 0
				want := first && assert.ObjectsAreEqual([]wire.Source{s0}, own[kind])
				assert.Equal(t, want, isWakeup(&s, kind), "%s %v", kind, s)
			}
		}
	}
}

func TestNotMoreThanEight(t *testing.T) {
	e := &wire.Delayed{}
	for i := range 16 {
		e.By = append(e.By, wire.Source{Kind: wire.UnixSource, Name: fmt.Sprint(i), Events: int64(i)})
	}
	got := by(e, eventloop.Asyncio)
	assert.Len(t, got, model.MaxDelayedBy)
	assert.Equal(t, model.DelayedBy{Target: "unix 15", Events: 15}, got[0])
}
