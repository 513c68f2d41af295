// SPDX-License-Identifier: Apache-2.0

package waits

import (
	_ "embed"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/testpython"
)

func TestMain(m *testing.M) { testpython.Main(m) }

//go:embed testdata/planned.py
var planned string

// diary is what planned.py has logged.
type diary struct {
	Places map[string][][2]*int64 `json:"places"` // from when to when
	Late   int64                  `json:"late"`   // how late it runs itself, on average
	Holder *string                `json:"holder"`
}

// within returns the task-nanoseconds of a place within a profile, and how often tasks came there or left it meanwhile.
func (d *diary) within(place string, p *model.WaitProfile) (ns int64, edges int) {
	for _, wait := range d.Places[place] {
		from, to := *wait[0], p.EndedNS
		if wait[1] != nil {
			to = *wait[1]
		}
		if from > p.EndedNS || to < p.StartedNS {
			continue
		}
		if from > p.StartedNS {
			edges++
		}
		if to < p.EndedNS {
			edges++
		}
		ns += max(min(to, p.EndedNS)-max(from, p.StartedNS), 0)
	}
	return ns, edges
}

// kindsOfPlaces are what tasks wait for in the places of planned.py.
var kindsOfPlaces = map[string]model.WaitKind{
	"keep": model.WaitFuture, "get": model.WaitLock, "nap": model.WaitSleep, "connect": model.WaitSemaphore, "use": model.WaitSleep,
	"work": model.WaitQueue, "feed": model.WaitSleep, "crunch": model.WaitExecutor, "child": model.WaitSleep, "read": model.WaitStream,
}

// TestTotals holds the waiting time by place against what a program has logged. A task that comes or goes between two samples is
// counted for the whole of that time or not at all; as these moments have nothing to do with those of the samples, errors add up like
// the steps of a walk at random, to the root of their number.
func TestTotals(t *testing.T) {
	for _, py := range testpython.All(t) {
		for _, loop := range []string{"asyncio", "uvloop"} {
			t.Run(py.Name+"/"+loop, func(t *testing.T) {
				if loop == "uvloop" && py.Command("-c", "import uvloop").Run() != nil {
					t.Skip("uvloop is not installed for " + py.Name)
				}
				program := testpython.Start(t, py.Command(py.Script(t, "planned.py", planned), loop))
				require.Equal(t, "ready", program.ReadLine(t))
				p, refused, err := Profile(t.Context(), Options{PIDs: []int{program.PID}, Duration: 4 * time.Second, Rate: 50})
				require.NoError(t, err)
				require.Empty(t, refused)
				require.NoError(t, program.Stdin.Close())
				var d diary
				require.NoError(t, json.Unmarshal([]byte(program.ReadLine(t)), &d))
				require.Len(t, p.Loops, 1)
				assert.Equal(t, loop, p.Loops[0].Loop)
				assert.Equal(t, program.PID, p.Loops[0].TID)
				d.check(t, p)
			})
		}
	}
}

func (d *diary) check(t *testing.T, p *model.WaitProfile) {
	alone := int64(0) // of children that were read before or after their parent went on
	sums, kinds := map[string]int64{}, map[string]model.WaitKind{}
	torn, seen := int64(0), int64(0)
	for _, w := range p.Waits {
		seen += w.TaskNS
		if w.Place == nil {
			torn += w.TaskNS // read while it went on: the reader has no priority here, and is put off between two words
			continue
		}
		name := w.Place.Function
		assert.True(t, w.Place.App, name)
		if w.Elsewhere {
			assert.Contains(t, []string{"parent", "main"}, name)
			assert.Equal(t, model.WaitTask, w.On)
			continue
		}
		if sums[name] += w.TaskNS; kinds[name] == "" { // the largest comes first
			kinds[name] = w.On
		}
		switch name {
		case "get":
			assert.True(t, w.Contended)
			assert.Equal(t, 37, w.TasksMax)
			if d.Holder != nil && assert.NotNil(t, w.Holder) {
				assert.Equal(t, *d.Holder, w.Holder.Name)
				assert.Equal(t, "hold", w.Holder.Frames[0].Function)
			}
		case "child":
			if last := w.Chain[len(w.Chain)-1]; last.Function != "parent" {
				alone += w.TaskNS
			}
			assert.LessOrEqual(t, w.TasksMax, 30)
		case "connect":
			assert.True(t, w.Contended)
		case "nap":
			assert.LessOrEqual(t, w.TasksMax, 60)
			assert.Greater(t, w.TasksMax, 30)
		case "work":
			assert.True(t, w.Consumers)
			assert.False(t, w.Contended)
		default:
			assert.False(t, w.Contended, name)
		}
	}
	assert.Less(t, torn, seen/100)
	assert.Less(t, alone, sums["child"]/4, "a chain goes on with who awaits the task")
	if testing.Verbose() {
		t.Logf("alone %.1f %%", 100*float64(alone)/float64(sums["child"]))
	}
	all := int64(0)
	for place, kind := range kindsOfPlaces {
		want, edges := d.within(place, p)
		require.Positive(t, want, place)
		assert.Equal(t, kind, kinds[place], place)
		off := 6*float64(p.IntervalMaxNS)*math.Sqrt(float64(edges)/12) + float64(p.IntervalMaxNS) + float64(edges)*float64(d.Late)
		assert.InDelta(t, want, sums[place], off, "%s, with %d edges and samples up to %d ms apart", place, edges, p.IntervalMaxNS/1e6)
		all += want
		if testing.Verbose() {
			t.Logf("%-8s %7.3f s logged, %7.3f s found, %+.2f %%, within %.1f %%", place, float64(want)/1e9, float64(sums[place])/1e9, 100*float64(sums[place]-want)/float64(want), 100*off/float64(want))
		}
	}
	found := int64(0)
	for name, ns := range sums {
		if strings.TrimSpace(name) != "measure" && name != "main" {
			found += ns
		}
	}
	if testing.Verbose() {
		t.Logf("in all %.3f s logged, %.3f s found, %+.2f %%, %d samples", float64(all)/1e9, float64(found)/1e9, 100*float64(found-all)/float64(all), p.Samples)
	}
}
