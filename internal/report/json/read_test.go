// SPDX-License-Identifier: Apache-2.0

package json

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/report/reporttest"
)

// written returns the JSON of a report with one thing replaced.
func written(t *testing.T, old, new string) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, Write(&b, reporttest.Everything()))
	require.Contains(t, b.String(), old)
	return strings.Replace(b.String(), old, new, 1)
}

// What is wrong with a file is said in one line, with the place.
func TestReadRefuses(t *testing.T) {
	whole := written(t, "", "")
	for _, c := range []struct{ text, says string }{
		{"", "ends too early"},
		{"[]", "no JSON object"},
		{"hello", "no JSON at byte"},
		{"{}", `no "schema"`},
		{whole[:len(whole)/2], "ends too early"},
		{whole + "{}", "something follows"},
		{whole[:len(whole)-2] + `,"schema":"loopwatch.report/v1"}`, `"schema": stands there twice`},
		{written(t, "loopwatch.report/v1", "loopwatch.report/v2"), `"loopwatch.report/v2" is not "loopwatch.report/v1"`},
		{written(t, "loopwatch.report/v1", "loopwatch.dump/v1"), `is not "loopwatch.report/v1"`},
		{written(t, `"blocks": [`, `"blocks": 7, "x": [`), `"blocks": no list`},
		{written(t, `"duration_ns": `, `"duration_ns": -`), `"blocks[0]": duration_ns: -`},
		{written(t, `"duration_ns": `, `"duration_ns": 99999999999999999999`), `a number out of range`},
		{written(t, `"duration_ns": `, `"duration_ns": 8000000000`), `out of range`},
		{written(t, `"duration_ns": `, `"duration_ns": 1.5e`), `number`},
		{written(t, `"pid": `, `"pid": "7", "x": `), `pid is a string, where a number should be`},
		{written(t, `"utilization": `, `"utilization": 7`), `utilization`},
		{written(t, `"host": {`, `"host": null, "x": {`), `"host": is null`},
		{written(t, `"started_at": "`, `"started_at": "yesterday`), `is no time`},
		{written(t, `"ended_ns": `, `"ended_ns": 0, "x": `), ``},
		{written(t, `"task": "`, `"task": "`+strings.Repeat("x", maxString)), `task: longer than`},
		{written(t, `"cause": "`, `"cause": "`+strings.Repeat("x", maxCause)), `cause: longer than`},
		{written(t, `"breakdown_ns": {`, `"breakdown_ns": {"\u001b[31m": -5, `), `breakdown_ns: -5 is out of range`},
		{written(t, `"line": `, `"line": 99`+strings.Repeat("0", 12)), `line: `},
		{written(t, `"stacks": [`, `"stacks": [`+strings.Repeat("{},", maxObjects)), `more than 65536 parts`},
		{written(t, `"task": "`, `"task": "`+strings.Repeat("x", maxElement)), `longer than 16 MiB`},
		{written(t, `"unsupported": [`, `"unsupported": [`+strings.Repeat("{},", maxUnsupported)), `more than 100000`},
		{strings.Repeat("[", 1<<20), "no JSON object"},
		{`{"x":` + strings.Repeat("[", 1<<20), `"x": `},
		{strings.Repeat(" ", maxElement+1), "longer than"},
	} {
		rep, _, err := Read(strings.NewReader(c.text))
		if c.says == "" {
			require.NoError(t, err)
			continue
		}
		require.Error(t, err, c.says)
		assert.Nil(t, rep)
		assert.Contains(t, err.Error(), c.says)
		assert.NotContains(t, err.Error(), "\n")
		assert.NotContains(t, err.Error(), "\x1b")
		assert.Less(t, len(err.Error()), 300)
	}
}

// A file that has no end is not read for ever, nor into memory.
func TestReadOfAnEndlessFile(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := Read(io.MultiReader(strings.NewReader(`{"blocks":[`), &endless{text: strings.Repeat("{},", 1000)}))
	assert.ErrorContains(t, err, "more than 20000")
	_, _, err = Read(io.MultiReader(strings.NewReader(`{"new":[`), &endless{text: strings.Repeat("{},", 1000)}))
	assert.ErrorContains(t, err, "longer than 16 MiB")
	runtime.ReadMemStats(&after)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(200<<20))
}

// endless repeats a text.
type endless struct {
	text string
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.text[e.at:])
	e.at = (e.at + n) % len(e.text)
	return n, nil
}

// Fields of a newer version are left out and named.
func TestReadNamesUnknownFields(t *testing.T) {
	text := written(t, `"started_ns"`, `"weather": {"deep": [1]}, "started_ns"`)
	text = strings.Replace(text, `"duration_ns"`, `"mood": "blue", "duration_ns"`, 2)
	rep, unknown, err := Read(strings.NewReader(text))
	require.NoError(t, err)
	assert.Equal(t, []string{"weather", "mood"}, unknown)
	assert.Equal(t, reporttest.Everything().Blocks[0].DurationNS, rep.Blocks[0].DurationNS)

	for i := range 50 {
		text = strings.Replace(text, `"started_ns"`, fmt.Sprintf(`"new%d": 1, "started_ns"`, i), 1)
	}
	_, unknown, err = Read(strings.NewReader(text))
	require.NoError(t, err)
	assert.Len(t, unknown, maxUnknown)
}
