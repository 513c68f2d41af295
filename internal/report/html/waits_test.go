// SPDX-License-Identifier: Apache-2.0

package html

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/reporttest"
)

func writtenWaits(t testing.TB, p *model.WaitProfile) string {
	var b bytes.Buffer
	require.NoError(t, WriteWaits(&b, p))
	return b.String()
}

func TestWaitsPage(t *testing.T) {
	page := writtenWaits(t, reporttest.Waits(""))
	assert.Contains(t, page, "Tasks waited most for a lock at get app.py:41: 62 % of 3,140 task-seconds, held by refresh app.py:88 (Task-3), 37 at once at most.")
	assert.Contains(t, page, "77 % of these by:")
	assert.Contains(t, page, "for an item of a queue at serve app.py:7")
	assert.Contains(t, page, "samples_skipped")
	assert.NotContains(t, page, "for another task at", "what is counted elsewhere is not shown")
	g := readGraphs(t, page)
	assert.Contains(t, g.Causes, model.Cause(model.WaitLock))
	for _, k := range kinds {
		assert.Contains(t, page, ".w-"+string(k.kind)+" { --h: ")
	}
	none := writtenWaits(t, &model.WaitProfile{})
	assert.Contains(t, none, "No Python process was found.")
	assert.NotContains(t, none, "<script")
	assert.ErrorIs(t, WriteWaits(&fullWriter{1000}, reporttest.Waits("")), errFull)
}

func TestHostileWaitsAreInert(t *testing.T) {
	for _, s := range reporttest.HostileNames {
		assertInert(t, writtenWaits(t, reporttest.Waits(s)))
	}
}

// TestWaitsPageInBrowser: the page draws its flame graph without the timeline of a report.
func TestWaitsPageInBrowser(t *testing.T) {
	for _, width := range []int{360, 1400} {
		for _, s := range []string{"", "</script><img src=x onerror=alert(1)>"} {
			p := openPage(t, writtenWaits(t, reporttest.Waits(s)), width, "dark")
			assert.Equal(t, width, ask[int](p, `document.documentElement.scrollWidth`), "no scrolling sideways")
			assert.Greater(t, ask[int](p, `document.querySelectorAll(".box").length`), 5)
			assert.Contains(t, ask[string](p, info), "3,320 task-seconds, 100.0% of the waiting time")
			assert.Zero(t, ask[int](p, `document.querySelectorAll("img").length`))
		}
	}
}
