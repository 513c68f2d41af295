// SPDX-License-Identifier: Apache-2.0

package difference

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/compare"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/json"
	"github.com/loopwatch/loopwatch/internal/report/reporttest"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
	"github.com/loopwatch/loopwatch/internal/summary"
)

// observed is a minute with so many blocks of each function, of so many milliseconds.
func observed(blocks map[string][2]int64) *model.Report {
	var all []model.Block
	for name, of := range blocks {
		f := model.Frame{Function: name, File: "/srv/app.py", Line: 7, App: true}
		for i := range of[0] {
			all = append(all, model.Block{PID: 1, TID: 1, StartNS: i * 60e9 / of[0], DurationNS: of[1] * 1e6, Cause: model.CauseSleep, Culprit: &f,
				Stacks: []model.Stack{{NS: of[1] * 1e6, Cause: model.CauseSleep, Frames: []model.Frame{f, {Function: "run", File: "/srv/main.py"}}}}})
		}
	}
	return summary.Assemble(summary.Meta{EndedNS: 60e9, ThresholdNS: 1e8, Host: model.Host{Hostname: "web1"}}, []model.Loop{{PID: 1, TID: 1, IdleNS: 30e9, ActiveNS: 30e9}}, all)
}

func pair(t testing.TB) (*model.Diff, *model.Report, *model.Report) {
	t.Helper()
	before := observed(map[string][2]int64{"slow": {40, 200}, "same": {60, 150}, "gone": {30, 120}, "rare": {1, 300}, "better": {50, 300}})
	after := observed(map[string][2]int64{"slow": {40, 260}, "same": {60, 150}, "new": {35, 120}, "seldom": {1, 300}, "better": {50, 200}})
	d, err := compare.Reports(before, after)
	require.NoError(t, err)
	return d, before, after
}

func TestWriteText(t *testing.T) {
	d, _, _ := pair(t)
	var b bytes.Buffer
	require.NoError(t, WriteText(&b, d, Options{}))
	assert.Equal(t, `Worse: of the blockers 1 new, 1 worse, 1 gone, 1 better, 1 the same, 2 too little seen to tell. Blocked 59.8% of the loop time before, 56.5% after.

before  web1, 0001-01-01T00:00:00Z, 1 loop, 60 s of loop time, 181 blocks, 35.9 s blocked
after   web1, 0001-01-01T00:00:00Z, 1 loop, 60 s of loop time, 186 blocks, 33.9 s blocked

`, b.String()[:strings.Index(b.String(), "VERDICT")])
	for _, row := range []string{
		`new +sleep +new app.py:7 +- → 2100 +- → 120 ms +- → 7.0%`,
		`worse +sleep +slow app.py:7 +2400 → 2400 +200 ms → 260 ms +13.3% → 17.3% +40 → 40 +longer ×1.30`,
		`gone +sleep +gone app.py:7 +1800 → -`,
		`better +sleep +better app.py:7 .* shorter ×0.67`,
		`the same +sleep +same app.py:7`,
		`too little seen to tell +sleep +rare app.py:7 +60 → -`,
	} {
		assert.Regexp(t, row, b.String())
	}
}

// The same report twice is the same in everything.
func TestTheSameReport(t *testing.T) {
	r := reporttest.Everything()
	d, err := compare.Reports(r, r)
	require.NoError(t, err)
	for _, b := range d.Blockers {
		assert.Contains(t, []model.Verdict{model.VerdictSame, model.VerdictUnclear, model.VerdictHost}, b.Verdict)
	}
	assert.Contains(t, Answer(d), "Nothing is known to be worse")
	empty := observed(nil)
	d, err = compare.Reports(empty, empty)
	require.NoError(t, err)
	assert.Contains(t, Answer(d), "No blocker in either report.")
}

func TestWriteHTML(t *testing.T) {
	d, before, after := pair(t)
	var b bytes.Buffer
	require.NoError(t, WriteHTML(&b, d, before, after))
	page := b.String()
	assert.Contains(t, page, `<tr class="worse"><td>worse</td><td>sleep</td><td title="/srv/app.py">slow app.py:7</td>`)
	assert.Contains(t, page, `<title>slow /srv/app.py: 13.3% of the loop time before, 17.3% after</title><rect class="up1"`)
	assert.Contains(t, page, `<title>gone /srv/app.py: 6.0% of the loop time before, 0.0% after</title><rect class="down3"`)
	assert.NotContains(t, page, "<script")
	assert.NotContains(t, page, "style=")
	whole, rows, cut := boxes(tree(before, after, d))
	assert.Equal(t, 3, rows)
	assert.False(t, cut)
	assert.Len(t, whole, 2+7)
}

// What a process has made is neutralised and escaped.
func TestHostileNames(t *testing.T) {
	for _, s := range reporttest.HostileNames {
		r := reporttest.Hostile(safetext.Bound(s, 16<<10)) // what a report that is read has at most
		for i := range r.Loops {
			r.Loops[i].ActiveNS = 1e9
		}
		d, err := compare.Reports(r, r)
		require.NoError(t, err)
		var text, page, doc bytes.Buffer
		require.NoError(t, WriteText(&text, d, Options{}))
		require.NoError(t, WriteHTML(&page, d, r, r))
		require.NoError(t, json.WriteDiff(&doc, d))
		for _, out := range []*bytes.Buffer{&text, &page, &doc} {
			require.Equal(t, -1, strings.IndexFunc(out.String(), func(c rune) bool { return c != '\n' && !unicode.IsGraphic(c) }))
		}
		assert.NotContains(t, page.String(), "<script>alert")
		assert.Less(t, page.Len(), 1<<20)
	}
}

// A large report makes a page that a browser shows.
func TestBounds(t *testing.T) {
	r := reporttest.Many(3000)
	d, err := compare.Reports(r, r)
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, WriteHTML(&b, d, r, r))
	assert.Less(t, b.Len(), 3<<20)
	all, _, cut := boxes(tree(r, r, d))
	assert.LessOrEqual(t, len(all), maxBoxes)
	assert.True(t, cut)
	assert.Contains(t, b.String(), "Boxes too narrow to draw are left out.")
	assert.ErrorIs(t, WriteText(failing{}, d, Options{}), io.ErrShortWrite)
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }
