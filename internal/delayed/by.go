// SPDX-License-Identifier: Apache-2.0

package delayed

import (
	"cmp"
	"slices"
	"strings"

	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
	"github.com/loopwatch/loopwatch/internal/syscalls"
)

// by says whose events a block of a loop of this kind has delayed, most events first.
func by(e *wire.Delayed, kind eventloop.Kind) []model.DelayedBy {
	var out []model.DelayedBy
	add := func(target string, events int64) {
		if i := slices.IndexFunc(out, func(b model.DelayedBy) bool { return b.Target == target }); i >= 0 {
			out[i].Events += events
			return
		}
		out = append(out, model.DelayedBy{Target: target, Events: events})
	}
	for i := range e.By {
		add(target(&e.By[i], kind), e.By[i].Events)
	}
	if e.Timer {
		add(model.TargetTimer, 1)
	}
	slices.SortStableFunc(out, func(x, y model.DelayedBy) int {
		return cmp.Or(cmp.Compare(y.Events, x.Events), cmp.Compare(x.Target, y.Target))
	})
	return out[:min(len(out), model.MaxDelayedBy)]
}

// target names what events came from.
func target(s *wire.Source, kind eventloop.Kind) string {
	if isWakeup(s, kind) {
		return model.TargetWakeup
	}
	switch s.Kind {
	case wire.InetSource:
		return syscalls.ProtocolName(s.Protocol, s.Datagram) + " " + s.Address.String()
	case wire.UnixSource:
		return strings.TrimSuffix("unix "+syscalls.UnixName(s.Name), " ")
	case wire.PairSource:
		return "socketpair"
	case wire.SocketSource:
		return "socket"
	case wire.PipeSource:
		return "pipe"
	case wire.AnonymousSource:
		return cmp.Or(strings.Trim(s.Name, "[]"), "file")
	case wire.PidfdSource:
		return "pidfd"
	case wire.DeviceSource:
		return "device"
	}
	return "file"
}

// isWakeup reports whether a source is the descriptor by which other threads wake the loop. A loop makes it right behind its epoll
// instance: it is the first of its kind with a higher number.
func isWakeup(s *wire.Source, kind eventloop.Kind) bool {
	first := s.Rank == 0
	switch kind {
	case eventloop.UVLoop, eventloop.Gevent:
		return first && s.Kind == wire.AnonymousSource && s.Name == "[eventfd]"
	case eventloop.Twisted:
		return first && s.Kind == wire.PipeSource
	case eventloop.Trio: // it has two pairs; of each the first socket
		return s.Kind == wire.PairSource && (first || s.Rank == 2)
	case eventloop.Asyncio, eventloop.Tornado:
		return first && s.Kind == wire.PairSource
	}
	return false
}
