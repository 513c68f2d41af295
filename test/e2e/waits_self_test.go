// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/test/judge"
	"github.com/loopwatch/loopwatch/test/truth"
)

// TestWaits sees to it that a period nobody saw is called a false alarm, and one the kernel saw is not.
func TestWaits(t *testing.T) {
	const ms, threshold = int64(time.Millisecond), 20 * time.Millisecond
	w := emptyWaits()
	for _, line := range []string{
		"        python3-77      [001] .....     0.900000: sys_epoll_wait(epfd: 3, events: 7f, maxevents: 2, timeout: 0)",
		" a-9 [000] x-78      [000] .....     0.900000: sys_epoll_pwait(epfd: 3, events: 7f)",
		"        python3-77      [001] .....     1.000000: sys_epoll_wait -> 0x1",
		" a-9 [000] x-78      [000] .....     1.000000: sys_epoll_pwait -> 0x1",
		"        python3-77      [001] .....     1.005000: sys_epoll_wait(epfd: 4, events: 7f, maxevents: 2, timeout: 0)",
		"        python3-77      [001] .....     1.010000: sys_epoll_wait -> 0x1",
		"        python3-77      [000] .....     1.025000: sys_epoll_wait(epfd: 3, events: 7f, maxevents: 2, timeout: 0)",
		"        python3-77      [000] .....     1.026000: sys_epoll_wait -> 0x0",
		" a-9 [000] x-78      [000] d..1.     1.025000: sys_epoll_pwait2(epfd: 3, events: 7f)",
		"        python3-77      [001] .....     1.200000: sys_epoll_wait(epfd: 3, events: 7f, maxevents: 2, timeout: 0)",
		"        python3-77      [001] .....     1.210000: sys_epoll_wait -> 0x0",
		"        python3-77      [001] .....     1.240000: sched_process_exit: comm=python3 pid=77 prio=120",
		"        python3-77      [001] .....     1.250000: sys_epoll_wait(epfd: 3, events: 7f, maxevents: 2, timeout: 0)",
		// It loses its CPU on its way out of a wait, between one who notes the time and the next.
		"        python3-77      [001] d..2.     1.300000: sched_switch: prev_comm=python3 prev_pid=77 prev_prio=120 prev_state=R+ ==> next_comm=a pid=7 next_pid=5 next_prio=120",
		"        a pid=7-5       [001] d..2.     1.326000: sched_switch: prev_comm=a pid=7 prev_pid=5 prev_prio=120 prev_state=S ==> next_comm=python3 next_pid=77 next_prio=120",
		"        python3-77      [001] .....     1.326100: sys_epoll_wait -> 0x1",
		"        python3-77      [001] .....     1.327000: sys_epoll_wait(epfd: 3, events: 7f, maxevents: 2, timeout: 0)",
		// It sleeps: that is no time without a CPU.
		"        python3-77      [001] d..2.     1.330000: sched_switch: prev_comm=python3 prev_pid=77 prev_prio=120 prev_state=S ==> next_comm=swapper/1 next_pid=0 next_prio=120",
		"          <idle>-0      [001] d..2.     1.360000: sched_switch: prev_comm=swapper/1 prev_pid=0 prev_prio=120 prev_state=R ==> next_comm=python3 next_pid=77 next_prio=120",
		"        python3-77      [001] .....     1.360100: sys_epoll_wait -> 0x1",
		"        python3-77      [001] .....     1.361000: sys_epoll_wait(epfd: 3, events: 7f, maxevents: 2, timeout: 0)",
		// It is woken in its wait and waits for a CPU, and runs for a while before it returns.
		"        a pid=7-5       [001] d..2.     1.400000: sched_waking: comm=python3 pid=77 prio=120 target_cpu=001",
		"        a pid=7-5       [001] d..2.     1.418000: sched_switch: prev_comm=a pid=7 prev_pid=5 prev_prio=120 prev_state=S ==> next_comm=python3 next_pid=77 next_prio=120",
		"        python3-77      [001] .....     1.421000: sys_epoll_wait -> 0x1",
		"        python3-77      [001] .....     1.424000: sys_epoll_wait(epfd: 3, events: 7f, maxevents: 2, timeout: 0)",
		"CPU:1 [LOST 5 EVENTS]",
		"        python3-77      [000] .....     1.099000: sys_epoll_wait(epfd: 3, events: 7f, maxevents: 2, timeout: 0)",
	} {
		w.line(line)
	}
	assert.Equal(t, 1, w.lost)
	assert.True(t, w.saw(78, 1000*ms, 1025*ms), "a program's name may look like anything")
	log := []truth.Entry{{StartNS: 10 * ms, EndNS: 11 * ms, Kind: "sleeping"}}
	for _, test := range []struct {
		name       string
		start, end int64
		alarm      bool
	}{
		{"as seen", 1000*ms + ms/10, 1025*ms - ms/10, false},
		{"a nested wait", 1010 * ms, 1025 * ms, true},
		{"until the loop ended", 1210 * ms, 1235 * ms, false},
		{"until after the thread ended", 1210 * ms, 1245 * ms, true},
		{"longer", 1000 * ms, 1030 * ms, true},
		{"kept from a CPU at its start", 1300 * ms, 1327 * ms, false},
		{"kept from a CPU, and more", 1299 * ms, 1327 * ms, true},
		{"asleep at its start", 1330 * ms, 1361 * ms, true},
		{"late in its wait", 1403 * ms, 1424 * ms, false},
		{"later than it was", 1400 * ms, 1424 * ms, true},
		{"elsewhere", 1500 * ms, 1525 * ms, true},
		{"while events were lost", 1026 * ms, 1099 * ms, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := judge.Blocks(threshold, log, []model.Block{{TID: 77, StartNS: test.start, DurationNS: test.end - test.start}}, w)
			assert.Equal(t, test.alarm, v.FalseAlarms == 1, v.Summary())
			assert.Equal(t, !test.alarm, len(v.Unplanned) == 1)
		})
	}
}

// TestJoined: two periods are one block where the thread was mostly held back in both and did not rest between them.
func TestJoined(t *testing.T) {
	const ms = int64(time.Millisecond)
	periods := []interval{{1 * ms, 2 * ms}, {6 * ms, 9 * ms}, {10 * ms, 14 * ms}}
	last := periods[2]
	held := []interval{{5 * ms, 8 * ms}, {9 * ms, 10 * ms}, {10 * ms, 12 * ms}}
	assert.True(t, joined(last, 5*ms, periods, held))
	assert.False(t, joined(last, 5*ms, periods, held[:2]), "it had a CPU for most of the time")
	assert.False(t, joined(last, 5*ms, periods, []interval{held[0], held[2]}), "it rested")
	assert.False(t, joined(last, 3*ms, periods, held), "it began later")
	assert.False(t, joined(periods[0], 1*ms, periods, held), "there is no period before")
}
