// SPDX-License-Identifier: Apache-2.0

package words

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
)

// namedWaiters is how many sorts of waiters are named in one line.
const namedWaiters = 3

// Waited says who waited for blocks to end, empty where nobody did or it is not known.
func Waited(d *model.Delayed) string { return WaitedIn(d, 0) }

// WaitedIn is Waited in at most so many columns, if that is possible; 0 is any number.
func WaitedIn(d *model.Delayed, width int) (s string) {
	for most := namedWaiters; most >= 0; most-- {
		s = waiters(d, most)
		if s == "" {
			return ""
		}
		s += " had to wait"
		if d.MaxNS > 0 {
			s += ", the longest for " + HumanDuration(d.MaxNS)
		}
		if width <= 0 || safetext.Width(s) <= width {
			break
		}
	}
	return s
}

// waiters says whose events had to wait, so many sorts of them at most by name: "5 connections on :8080 and a timer". It is
// empty where nobody did or it is not known.
func waiters(d *model.Delayed, most int) string {
	var parts []string
	named := int64(0)
	by := byPort(d.By)
	if d.Events <= 0 {
		most = max(most, 1) // a timer alone
	}
	for i := range by[:min(len(by), most)] {
		parts = append(parts, waiter(&by[i]))
		if by[i].Target != model.TargetTimer {
			named += by[i].Events
		}
	}
	switch more := d.Events - named; {
	case more <= 0:
	case named == 0:
		parts = append([]string{Plural(more, "event")}, parts...)
	default:
		parts = append(parts, Plural(more, "more event"))
	}
	n := len(parts)
	if n < 2 {
		return strings.Join(parts, "")
	}
	return strings.Join(parts[:n-1], ", ") + " and " + parts[n-1]
}

// byPort leaves the ports of addresses, which tell servers apart, and adds up what is of one port.
func byPort(by []model.DelayedBy) []model.DelayedBy {
	var out []model.DelayedBy
	for _, b := range by {
		if sort, address, _ := strings.Cut(b.Target, " "); sort != "unix" {
			if a, err := netip.ParseAddrPort(address); err == nil {
				b.Target = sort + " :" + strconv.Itoa(int(a.Port()))
			}
		}
		if i := slices.IndexFunc(out, func(x model.DelayedBy) bool { return x.Target == b.Target }); i >= 0 {
			out[i].Events += b.Events
			continue
		}
		out = append(out, b)
	}
	slices.SortStableFunc(out, func(x, y model.DelayedBy) int { return cmp.Compare(y.Events, x.Events) })
	return out
}

// maxTarget bounds a target that is named, in columns: the name of a unix socket has 108 bytes at most.
const maxTarget = 160

// waiter says what events of one sort came from.
func waiter(b *model.DelayedBy) string {
	sort, name, _ := strings.Cut(safetext.Middle(safetext.Line(safetext.Bound(b.Target, maxTarget)), maxTarget), " ")
	switch sort {
	case model.TargetWakeup:
		return several(b.Events, "the loop's wake-up", "the loop's wake-up (%)")
	case model.TargetTimer:
		return several(b.Events, "a timer", "% timers")
	case "eventfd":
		return several(b.Events, "an eventfd", "% eventfds")
	case "socketpair":
		return several(b.Events, "a socket pair", "% socket pairs")
	case "tcp", "unix":
		if name == "" {
			return Plural(b.Events, sort+" socket")
		}
		return Plural(b.Events, "connection") + " on " + name
	case "pipe", "timerfd", "signalfd", "pidfd", "device", "file", "socket":
		return several(b.Events, "a "+sort, "% "+sort+"s")
	}
	if name == "" {
		return Plural(b.Events, "event") + " of " + sort
	}
	return Plural(b.Events, "socket") + " on " + sort + " " + name
}

// several fills a number into many, unless it is one.
func several(n int64, one, many string) string {
	if n == 1 {
		return one
	}
	return strings.Replace(many, "%", strconv.FormatInt(n, 10), 1)
}
