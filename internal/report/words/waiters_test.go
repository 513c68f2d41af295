// SPDX-License-Identifier: Apache-2.0

package words

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/loopwatch/loopwatch/internal/model"
)

func TestWaited(t *testing.T) {
	for want, d := range map[string]model.Delayed{
		"":                                 {},
		"1 event had to wait":              {Events: 1},
		"a timer had to wait":              {By: []model.DelayedBy{{Target: "timer", Events: 1}}},
		"2 events had to wait":             {Events: 2},
		"2 events and a timer had to wait": {Events: 2, By: []model.DelayedBy{{Target: "timer", Events: 1}}},
		"5 connections on :8080 and a timer had to wait, the longest for 300 ms": {Events: 5, MaxNS: 300_000_000,
			By: []model.DelayedBy{{Target: "tcp 0.0.0.0:8080", Events: 5}, {Target: "timer", Events: 1}}},
		"7 connections on :8080, 1 connection on /run/app.sock and the loop's wake-up had to wait": {Events: 9, By: []model.DelayedBy{
			{Target: "tcp 127.0.0.1:8080", Events: 5}, {Target: "tcp [::1]:8080", Events: 2}, {Target: "unix /run/app.sock", Events: 1}, {Target: "wakeup", Events: 1}}},
		"2 pipes, an eventfd, a socket pair and 4 more events had to wait": {Events: 8, By: []model.DelayedBy{
			{Target: "pipe", Events: 2}, {Target: "eventfd", Events: 1}, {Target: "socketpair", Events: 1}, {Target: "device", Events: 1}}},
		"3 unix sockets and 1 socket on udp :53 had to wait": {Events: 4, By: []model.DelayedBy{{Target: "unix", Events: 3}, {Target: "udp 127.0.0.1:53", Events: 1}}},
		`1 connection on /tmp/a\x1b[2J had to wait`:          {Events: 1, By: []model.DelayedBy{{Target: "unix /tmp/a\x1b[2J", Events: 1}}},
		"2 events of inotify had to wait":                    {Events: 2, By: []model.DelayedBy{{Target: "inotify", Events: 2}}},
	} {
		assert.Equal(t, want, Waited(&d))
	}
	d := &model.Delayed{Events: 6, By: []model.DelayedBy{{Target: "tcp 10.0.0.1:80", Events: 5}, {Target: "unix /run/a/very/long/path.sock", Events: 1}}}
	assert.Equal(t, "5 connections on :80 and 1 more event had to wait", WaitedIn(d, 60))
	assert.Equal(t, "6 events had to wait", WaitedIn(d, 20))
}
