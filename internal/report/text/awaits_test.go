// SPDX-License-Identifier: Apache-2.0

package text

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/reporttest"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
)

func waitsText(t *testing.T, p *model.WaitProfile, o Options) string {
	var b bytes.Buffer
	require.NoError(t, WriteWaits(&b, p, o))
	return b.String()
}

func firstOf(text string) string {
	first, _, _ := strings.Cut(text, "\n")
	return first
}

func TestWaitsAnswerFirst(t *testing.T) {
	text := waitsText(t, reporttest.Waits(""), Options{})
	assert.Equal(t, "Tasks waited most for a lock at get app.py:41: 62 % of 3,140 task-seconds, held by refresh app.py:88 (Task-3), 37 at once at most.", firstOf(text))
	assert.Contains(t, text, "3,320 task-seconds in 60 s: 3,140 for one another, 180 for work, peers or time.\n")
	assert.Contains(t, text, "62 %, 1,950 task-s, 37 at most: for a lock at get app.py:41, held by refresh app.py:88 (Task-3)\n")
	assert.Contains(t, text, "77 % of these by\n")
	assert.Contains(t, text, "38 %, 1,190 task-s, 20 at most: for an item of a queue at other app.py:9\n")
	assert.Contains(t, text, " 67 %     120   2.0     2  for an item of a queue at serve app.py:7\n")
	assert.NotContains(t, text, "another task", "what is counted elsewhere is not shown")
	assert.Contains(t, text, "5 samples not taken, to take less than a hundredth of a CPU")
	assert.NotContains(t, text, "other.py[20]\n")
	assert.Contains(t, text, "other.py[20/21]")
	whole := waitsText(t, reporttest.Waits(""), Options{Verbose: true})
	assert.Contains(t, whole, "23 % of these by\n")
}

// TestWaitsWithoutContention: what an idle server does is no contention, and where there is nothing the first line says why.
func TestWaitsWithoutContention(t *testing.T) {
	p := reporttest.Waits("")
	idle := *p
	idle.Waits = p.Waits[4:6]
	assert.Equal(t, "No tasks waited for one another; they waited most for an item of a queue at serve app.py:7: 67 % of 180 task-seconds, 2 at once at most.", firstOf(waitsText(t, &idle, Options{})))
	little := *p
	few := p.Waits[2]
	few.TaskNS = 5e8 // of a minute
	little.Waits = []model.TaskWaits{p.Waits[4], few}
	assert.True(t, strings.HasPrefix(waitsText(t, &little, Options{}), "No tasks waited for one another; "))
	none := *p
	none.Waits = nil
	assert.Equal(t, "No task waited in 2 loops.", firstOf(waitsText(t, &none, Options{})))
	none.Loops = nil
	assert.Equal(t, "No loop of asyncio ran in 2 Python processes.", firstOf(waitsText(t, &none, Options{})))
	none.Processes, none.Unsupported = 0, nil
	assert.Equal(t, "No Python process was found.", firstOf(waitsText(t, &none, Options{})))
	assert.Equal(t, "No Python process was found.", firstOf(waitsText(t, &model.WaitProfile{}, Options{})))
}

// TestWaitsHostileNames: nothing a process has made reaches a terminal as it is.
func TestWaitsHostileNames(t *testing.T) {
	for _, s := range reporttest.HostileNames {
		for _, width := range []int{0, 80, 200} {
			for line := range strings.Lines(waitsText(t, reporttest.Waits(s), Options{Width: width, Verbose: true})) {
				line = strings.TrimSuffix(line, "\n")
				require.Equal(t, safetext.Line(line), line)
				if width > 0 {
					require.LessOrEqual(t, safetext.Width(line), 350, "the answer is not cut")
				}
			}
		}
	}
}

func TestWaitsThatCannotBeWritten(t *testing.T) {
	assert.Error(t, WriteWaits(failing{}, reporttest.Waits(""), Options{}))
}
