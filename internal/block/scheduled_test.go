// SPDX-License-Identifier: Apache-2.0

package block

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/cause"
	"github.com/loopwatch/loopwatch/internal/model"
)

// Where a call was scheduled is told where no line of the application's stands inside the loop.
func TestScheduled(t *testing.T) {
	by := model.Frame{Function: "schedule", File: "/srv/app.py", Line: 5, App: true}
	loop := []model.Frame{
		{Function: "Handle._run", File: "/usr/lib/python3.11/asyncio/events.py", Line: 80},
		{Function: "BaseEventLoop._run_once", File: "/usr/lib/python3.11/asyncio/base_events.py", Line: 1922},
		{Function: "BaseEventLoop.run_forever", File: "/usr/lib/python3.11/asyncio/base_events.py", Line: 600},
	}
	sample := func(at, ns int64, by *model.Frame, frames ...model.Frame) Sample {
		return Sample{
			AtNS: at, NS: ns, Frames: append(frames, loop...), Called: "time.sleep", Scheduled: by,
			Sleep: cause.Sleep{Call: cause.Call{Number: unix.SYS_CLOCK_NANOSLEEP}},
		}
	}
	detail := func(samples ...Sample) model.Detail {
		e := &Evidence{PID: 1, TID: 1, ThresholdNS: 100 * ms, StartNS: 1000 * ms, EndNS: 1200 * ms, OffNS: 200 * ms, Samples: samples}
		j := Judge(e)
		require.Len(t, j.Blocks, 1)
		return j.Blocks[0].Detail
	}
	assert.Equal(t, &by, detail(sample(1000*ms, 200*ms, &by)).Scheduled)
	assert.Nil(t, detail(sample(1000*ms, 200*ms, nil)).Scheduled)
	other := model.Frame{Function: "start", File: "/srv/app.py", Line: 9, App: true}
	assert.Equal(t, &by, detail(sample(1000*ms, 80*ms, &other), sample(1080*ms, 120*ms, &by)).Scheduled, "of what took longest")
	assert.Nil(t, detail(sample(1000*ms, 200*ms, &by, model.Frame{Function: "work", File: "/srv/app.py", Line: 3, App: true})).Scheduled,
		"the application's line says it")
}
