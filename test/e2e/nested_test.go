// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/test/judge"
	"github.com/loopwatch/loopwatch/test/truth"
)

//go:embed testdata/nested.py
var nestedProgram string

// TestLoopInsideAnother: a loop that is run inside another's callback blocks that one for as long as it runs. That is one
// block, by the line that runs it, and what blocks the inner loop is on the block's stacks.
func TestLoopInsideAnother(t *testing.T) {
	python := onHost(t, "twisted")
	script := python.Script(t, "nested.py", nestedProgram)
	type pair struct {
		*testpython.Program
		name, outer string
		log         []truth.Entry
	}
	var all []*pair
	args := []string{"--duration", "1h"}
	for _, loops := range [][2]string{{"twisted", "asyncio"}, {"asyncioreactor", "asyncio"}, {"asyncio", "asyncio"}, {"asyncio", "twisted"}} {
		p := &pair{Program: testpython.Start(t, python.Command(script, loops[0], loops[1])), name: loops[1] + " in " + loops[0], outer: loops[0]}
		require.Equal(t, "ready", p.ReadLine(t))
		all = append(all, p)
		args = append(args, "--pid", itoa(p.PID))
	}
	w := watch(t, args...)
	time.Sleep(settling)
	for _, p := range all {
		fmt.Fprintln(p.Stdin)
	}
	for _, p := range all {
		for line := p.ReadLine(t); line != "done"; line = p.ReadLine(t) {
			var e truth.Entry
			require.NoError(t, json.Unmarshal([]byte(line), &e))
			p.log = append(p.log, e)
		}
	}
	rep := w.stop(t)
	for _, p := range all {
		t.Run(p.name, func(t *testing.T) {
			loops := loopsOf(rep, p.PID)
			require.Len(t, loops, 1, "one thread, one loop: the outer")
			assert.Equal(t, strings.Replace(p.outer, "asyncioreactor", "twisted", 1), loops[0].Loop)
			blocks := judge.BlocksOf(rep, p.PID)
			for _, e := range p.log {
				during := slices.DeleteFunc(slices.Clone(blocks), func(b model.Block) bool {
					return judge.Overlap(b.StartNS, b.StartNS+b.DurationNS, e.StartNS, e.EndNS) < e.DurationNS()/2
				})
				require.Len(t, during, 1, "%s, %v", e.Function, blocks)
				b := &during[0]
				assert.LessOrEqual(t, b.StartNS, e.StartNS+judge.Exactness, e.Function)
				assert.GreaterOrEqual(t, b.StartNS+b.DurationNS, e.EndNS-judge.Exactness, e.Function)
				switch {
				case e.Function == "inside":
					assert.True(t, slices.ContainsFunc(b.Stacks, func(s model.Stack) bool {
						return s.Cause == model.CauseSleep && slices.ContainsFunc(s.Frames, func(f model.Frame) bool { return f.Function == "hold" })
					}), "hold is on none of the stacks: %v", b.Stacks)
				case judge.Queued(b, e.RunDelayNS): // the machine had no CPU for it
				case e.Function == "run_inner":
					assert.Contains(t, []string{"run_asyncio", "run_twisted"}, culpritOf(b))
				default:
					assert.Equal(t, e.Function, culpritOf(b))
					assert.Equal(t, model.CauseSleep, b.Cause)
				}
			}
			for _, b := range rep.Blockers {
				if b.Culprit != nil && strings.HasPrefix(b.Culprit.Function, "run_") && slices.Contains(b.Loops, model.LoopID{PID: p.PID, TID: p.PID}) {
					assert.Contains(t, b.Advice, "another loop")
				}
			}
		})
	}
}

func culpritOf(b *model.Block) string {
	if b.Culprit == nil {
		return ""
	}
	return b.Culprit.Function
}
