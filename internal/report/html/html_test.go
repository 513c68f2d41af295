// SPDX-License-Identifier: Apache-2.0

package html

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/reporttest"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
	"github.com/loopwatch/loopwatch/internal/summary"
)

func written(t testing.TB, r *model.Report) string {
	var b bytes.Buffer
	require.NoError(t, Write(&b, r))
	return b.String()
}

var dataElement = regexp.MustCompile(`(?s)<script type="application/json" id="data">(.*?)</script>`)

// readGraphs returns what the script of a page draws from.
func readGraphs(t testing.TB, page string) (g struct {
	Lanes   []lane
	Causes  []model.Cause
	Blocks  [][]int64
	Strings []string
	Frames  [][]any
	Tree    json.RawMessage
}) {
	found := dataElement.FindAllStringSubmatch(page, -1)
	require.Len(t, found, 1)
	require.NoError(t, json.Unmarshal([]byte(found[0][1]), &g))
	return g
}

// sums checks that no box weighs less than its children and returns the weight of the root, the
// number of boxes, and the weight by cause of what boxes spent themselves.
func sums(t testing.TB, tree json.RawMessage, byCause map[int]int64) (ns int64, boxes int) {
	var row []json.RawMessage
	require.NoError(t, json.Unmarshal(tree, &row))
	require.NoError(t, json.Unmarshal(row[1], &ns))
	var children []json.RawMessage
	if len(row) > 3 {
		require.NoError(t, json.Unmarshal(row[3], &children))
	}
	own := ns
	boxes = 1
	for _, child := range children {
		n, b := sums(t, child, byCause)
		own -= n
		boxes += b
	}
	require.GreaterOrEqual(t, own, int64(0))
	var one int
	if json.Unmarshal(row[2], &one) == nil {
		byCause[one] += own
		return ns, boxes
	}
	var pairs [][2]int64
	require.NoError(t, json.Unmarshal(row[2], &pairs))
	for _, p := range pairs {
		byCause[int(p[0])] += p[1]
		own -= p[1]
	}
	require.Zero(t, own, "the causes of a box's own time add up to it")
	return ns, boxes
}

func checkTotals(t testing.TB, r *model.Report) (boxes int) {
	page := written(t, r)
	if len(r.Blocks) == 0 {
		require.NotContains(t, page, "<script")
		return 0
	}
	g := readGraphs(t, page)
	byCause := map[int]int64{}
	ns, boxes := sums(t, g.Tree, byCause)
	require.Equal(t, reporttest.BlockedNS(r), ns, "flame graph")
	var split int64
	for _, part := range byCause {
		split += part
	}
	require.Equal(t, ns, split)
	var drawn int64
	for _, b := range g.Blocks {
		drawn += b[2]
	}
	if len(r.Blocks) <= maxDrawn && len(g.Lanes) < maxLanes {
		require.Equal(t, ns, drawn, "timeline")
	}
	return boxes
}

func TestTotalsAreThoseOfTheBlocks(t *testing.T) {
	for seed := range uint64(200) {
		checkTotals(t, reporttest.Random(seed))
	}
	checkTotals(t, reporttest.Everything())
	checkTotals(t, summary.Assemble(summary.Meta{}, nil, nil))
}

func TestSizeIsBounded(t *testing.T) {
	r := reporttest.Many(12_000) // of which the report keeps 10,000
	require.Len(t, r.Blocks, 10_000)
	boxes := checkTotals(t, r)
	assert.LessOrEqual(t, boxes, maxNodes)
	page := written(t, r)
	assert.Less(t, len(page), 2<<20)
	for _, says := range []string{
		"The timeline shows the 40 most blocked loops; 20 more loops with blocks are not drawn.",
		"The timeline shows the 5000 longest of ",
		"2000 blocks, the shortest, were not kept one by one",
		"The flame graph leaves out boxes below ",
		"more blockers, ",
	} {
		assert.Contains(t, page, says)
	}
	t.Logf("%d bytes, %d boxes", len(page), boxes)
}

func TestHostileSizeIsBounded(t *testing.T) {
	r := reporttest.Many(12_000)
	n := 0
	long := func() string {
		n++
		return fmt.Sprint(n, strings.Repeat("関", 2000), n)
	}
	for i := range r.Loops {
		r.Loops[i].Command = long()
	}
	for i := range r.Blocks {
		r.Blocks[i].Task = long()
		f := &r.Blocks[i].Stacks[0].Frames[i%18]
		f.Function, f.File = long(), long()
	}
	assert.Less(t, len(written(t, r)), 12<<20)
}

func TestEverythingIsShown(t *testing.T) {
	page := written(t, reporttest.Everything())
	for _, says := range []string{
		"4 of 6 loops blocked", "shop-3", "Linux 6.1.0-18-amd64", "fentry", "8c1f3a77d0e2, shop.service", "gunicorn[4100]",
		"Orders.latest", "repository.py:118", "use asyncpg", "tcp 10.3.0.7:5432", "in recvfrom on fd 11",
		"native code of _json.cpython-311-x86_64-linux-gnu.so", "The GIL was released meanwhile", "The GIL was held meanwhile",
		"Held by thread recommender_0 (4199)", "6 collections of 81 ms", "import of pandas.core, 70 ms, and 3 more", "Recommender.fit", "events had to wait, the longest for", "many short callbacks added up",
		"Task-2", "no line to blame", "throttled", "2: events that came too fast to be read: blocks may be missing", "2 events and 1 stack were lost", "legacy.py[4321]", "CPython 3.7 is older than 3.8",
		"blocked at the end, for", "2026-02-03 04:05:06 &#43;0100", "Catalogue.render.&lt;locals&gt;.row",
	} {
		assert.True(t, strings.Contains(page, says), says)
	}
}

// A page explains every cause and gives it a colour of its own.
func TestEveryCauseIsShown(t *testing.T) {
	page := written(t, reporttest.EveryCause())
	for _, c := range model.Causes() {
		assert.Equal(t, 1, strings.Count(page, fmt.Sprintf(".c-%s { --h: %s; }", c, c.Color())), "%s: a rule of the style sheet", c)
		says := "the loop&#39;s thread was " + template.HTMLEscapeString(c.Words())
		for where, element := range map[string]string{
			"legend":              fmt.Sprintf(`<li title="%s"><i class="swatch c c-%s"></i>%s</li>`, says, c, c),
			"what the words mean": fmt.Sprintf(`<dt><i class="swatch c c-%s"></i>%s</dt><dd>%s</dd>`, c, c, says),
			"blocker":             fmt.Sprintf(`<span class="chip c c-%s" title="%s">%s</span>`, c, says, c),
		} {
			assert.True(t, strings.Contains(page, element), "%s: %s", c, where)
		}
	}
	g := readGraphs(t, page)
	assert.ElementsMatch(t, model.Causes(), g.Causes, "the drawings")
	assert.False(t, strings.Contains(page, causesHere))
}

// Of a lower bound every view says so: a bar, its row among the longest, the sum of its blocker.
func TestLowerBounds(t *testing.T) {
	f := model.Frame{Function: "f", File: "/srv/a.py", Line: 1, App: true}
	block := func(start int64) model.Block {
		return model.Block{PID: 1, TID: 1, StartNS: start, DurationNS: 312e6, Cause: model.CauseSleep, Culprit: &f}
	}
	began, went, whole := block(0), block(2e9), block(1e9)
	began.AtLeast, went.Ongoing = true, true
	for want, blocks := range map[int][]model.Block{0: {whole}, 1: {went}, 2: {began}} {
		page := written(t, summary.Assemble(summary.Meta{EndedNS: 1e10, ThresholdNS: 1e8}, []model.Loop{{PID: 1, TID: 1}}, blocks))
		row := readGraphs(t, page).Blocks[0]
		if want == 0 {
			assert.Len(t, row, 6)
			assert.NotContains(t, page, "≥ 312")
			continue
		}
		require.Len(t, row, 7)
		assert.EqualValues(t, want, row[6])
		assert.Contains(t, page, "≥ 312 ms</td>", "in the table of blocks")
		assert.Contains(t, page, "≥ 312\u00a0ms", "of the blocker")
		assert.Contains(t, page, "the longest ≥ 312\u00a0ms")
	}
}

func TestNothingToShow(t *testing.T) {
	page := written(t, summary.Assemble(summary.Meta{EndedNS: 1e10, ThresholdNS: 1e8}, nil, nil))
	assert.Contains(t, page, "no Python process was found")
	assert.Contains(t, page, "Start the program to be watched")
	assert.NotContains(t, page, `aria-labelledby="h-blockers"`)
	page = written(t, &model.Report{})
	assert.Contains(t, page, "</html>")
}

func TestThePageLoadsNothing(t *testing.T) {
	page := written(t, reporttest.Everything())
	assert.NotRegexp(t, `(?i)(src|href)="?(https?:)?//`, page)
	assert.NotContains(t, page, "@import")
	assert.NotContains(t, page, "url(")
	assert.NotRegexp(t, `\son[a-z]+=`, strings.ReplaceAll(page, scriptText, ""), "no inline handlers")
	assert.NotRegexp(t, `\sstyle=`, page, "no inline styles: the policy forbids them")
	assert.Contains(t, page, "default-src &#39;none&#39;")
	for _, part := range []string{"<style>" + style() + "</style>", "<script>" + scriptText + "</script>"} {
		assert.Contains(t, page, part, "byte for byte, or its hash does not fit")
	}
}

// TestHostileNamesAreInert looks at the text of the page; TestHostilePages asks a browser.
func TestHostileNamesAreInert(t *testing.T) {
	clean := strings.Count(written(t, reporttest.Hostile("x")), "<")
	for _, s := range reporttest.HostileNames {
		r := reporttest.Hostile(s)
		checkTotals(t, r)
		page := written(t, r)
		assert.Less(t, len(page), 200<<10, "bounded: %.20q", s)
		assertInert(t, page)
		if !strings.Contains(s, "/") && s != "" { // paths are broken at slashes by <wbr>, and what is empty has no element
			assert.Equal(t, clean, strings.Count(page, "<"), "no element more or less: %.20q", s)
		}
	}
}

func assertInert(t testing.TB, page string) {
	require.Equal(t, 2, strings.Count(page, "<script"))
	require.Equal(t, 2, strings.Count(page, "</script"))
	for line := range strings.SplitSeq(page, "\n") {
		line = strings.ReplaceAll(line, "\u00a0", " ") // between a number and its unit
		if safe := safetext.Line(line); len(line) < 10<<10 && safe != line {
			require.Equal(t, safe, line)
		}
	}
}

func FuzzPage(f *testing.F) {
	for _, s := range reporttest.HostileNames {
		if len(s) < 100 {
			f.Add(s)
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := reporttest.Hostile(s)
		checkTotals(t, r)
		assertInert(t, written(t, r))
	})
}

type fullWriter struct{ left int }

var errFull = errors.New("full")

func (w *fullWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestWriteReportsFailure(t *testing.T) {
	for _, room := range []int{0, 3000, 50_000} {
		assert.ErrorIs(t, Write(&fullWriter{room}, reporttest.Everything()), errFull)
	}
}

func TestSpansOf(t *testing.T) {
	assert.Equal(t, []span{{"Use ", false}, {"await asyncio.sleep(…)", true}, {".", false}}, spansOf("Use `await asyncio.sleep(…)`."))
	assert.Equal(t, []span{{"plain", false}}, spansOf("plain"))
	assert.Empty(t, spansOf(""))
}

func TestGlued(t *testing.T) {
	assert.Equal(t, "1.5\u00a0s in 3 blocks of 20\u00a0ms", glued("1.5 s in 3 blocks of 20 ms"))
}
