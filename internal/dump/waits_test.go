// SPDX-License-Identifier: Apache-2.0

package dump

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/testpython"
)

// shortages is what shortages.py says of itself.
type shortages struct {
	Waits     [][4]any          `json:"waits"` // what for, how many, where, who holds it
	Deadlocks [][]string        `json:"deadlocks"`
	Pools     map[string][7]any `json:"pools"` // kind, whether it is the default, threads, at most, busy, queued, busy with
	Ready     float64           `json:"ready"`
	Scheduled float64           `json:"scheduled"`
	Due       float64           `json:"due"` // seconds, of the first timer
}

// TestWaits holds what tasks wait for, who holds locks, deadlocks, pools and queues against what the program says, on every
// interpreter.
func TestWaits(t *testing.T) {
	source, err := os.ReadFile("testdata/shortages.py")
	require.NoError(t, err)
	for _, py := range testpython.All(t) {
		for _, loop := range []string{"asyncio", "uvloop"} {
			for _, state := range []string{"rest", "blocked"} {
				t.Run(py.Name+"/"+loop+"/"+state, func(t *testing.T) {
					if loop == "uvloop" && py.Command("-c", "import uvloop").Run() != nil {
						t.Skip("uvloop is not installed for " + py.Name)
					}
					program := testpython.Start(t, py.Command(py.Script(t, "shortages.py", string(source)), state, loop))
					var want shortages
					require.NoError(t, json.Unmarshal([]byte(program.ReadLine(t)), &want))
					s := &standing{wanted: wanted{state: state, syscalls: "clock_nanosleep select pselect6"}, program: program}
					if state == "rest" {
						s.syscalls = "epoll_wait epoll_pwait"
					}
					s.awaitState(t)
					time.Sleep(100 * time.Millisecond) // the due timer is late by then, and calls have reached the processes
					d, refused, err := Take(t.Context(), Options{PIDs: []int{program.PID}})
					require.NoError(t, err)
					require.Empty(t, refused)
					require.Len(t, d.Processes, 1)
					require.Len(t, d.Processes[0].Loops, 1)
					want.check(t, d, loop)
				})
			}
		}
	}
}

func (want *shortages) check(t *testing.T, d *model.Dump, loop string) {
	p, l := &d.Processes[0], &d.Processes[0].Loops[0]
	var got, wanted [][4]any
	for _, w := range l.Waits {
		switch w.On {
		case model.WaitLock, model.WaitSemaphore:
			var holder any
			if w.Holder != nil {
				holder = w.Holder.Name
				assert.True(t, w.Holder.Frames[0].App, "where %s holds it", w.Holder.Name)
			}
			got = append(got, [4]any{string(w.On), float64(w.Tasks), lastPart(w.Place), holder})
			assert.Len(t, w.IDs, w.Tasks)
		}
	}
	wanted = append(wanted, want.Waits...)
	assert.ElementsMatch(t, wanted, got)

	var circles [][]string
	for _, circle := range p.Deadlocks {
		var names []string
		for _, member := range circle {
			names = append(names, member.Name)
			require.NotNil(t, member.Frame)
		}
		slices.Sort(names)
		circles = append(circles, names)
	}
	assert.ElementsMatch(t, want.Deadlocks, circles)

	pools := map[string][7]any{}
	for _, e := range p.Executors {
		row := [7]any{e.Kind, e.Default, float64(e.Threads), nil, float64(e.Busy), nil, nil}
		if e.Max != nil {
			row[3] = float64(*e.Max)
		}
		if e.Queued != nil {
			row[5] = float64(*e.Queued)
		}
		for _, work := range e.Work {
			assert.Equal(t, e.Busy, work.Count, e.Name)
			row[6] = lastPart(work.Frame)
		}
		pools[e.Name] = row
	}
	assert.Equal(t, want.Pools, pools)

	require.NotNil(t, l.Queue)
	assert.Equal(t, len(l.Tasks), l.Queue.Tasks)
	if loop == "uvloop" {
		assert.Nil(t, l.Queue.Ready)
		return
	}
	require.NotNil(t, l.Queue.Ready)
	assert.Equal(t, int(want.Ready), *l.Queue.Ready)
	assert.Equal(t, int(want.Scheduled), *l.Queue.Scheduled)
	require.NotNil(t, l.Queue.TimerLateNS)
	if want.Due == 0 {
		assert.Zero(t, *l.Queue.TimerLateNS)
	} else {
		assert.InDelta(t, d.TakenNS-int64(want.Due*1e9), *l.Queue.TimerLateNS, 1000, "the precision of a double")
		assert.Positive(t, *l.Queue.TimerLateNS)
	}
}

// lastPart returns the own name of a frame's function, or the whole of that of a function of C.
func lastPart(f *model.Frame) any {
	if f == nil {
		return nil
	}
	if f.File == "" {
		return f.Function
	}
	return f.Function[strings.LastIndexByte(f.Function, '.')+1:]
}
