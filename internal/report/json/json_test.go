// SPDX-License-Identifier: Apache-2.0

package json

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/reporttest"
	"github.com/loopwatch/loopwatch/internal/summary"
)

func TestJSONKeepsThePromises(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, Write(&b, reporttest.Example()))
	var doc map[string]any
	require.NoError(t, json.Unmarshal(b.Bytes(), &doc))
	assert.Equal(t, model.SchemaReport, doc["schema"])
	assert.Equal(t, "2026-02-03T04:05:06Z", doc["started_at"])
	assertNoNullLists(t, "", doc)
	assert.Contains(t, b.String(), "<module>", "no HTML escapes")

	var back model.Report
	require.NoError(t, json.Unmarshal(b.Bytes(), &back))
	assert.Equal(t, reporttest.Example(), &back)

	b.Reset()
	require.NoError(t, Write(&b, summary.Assemble(summary.Meta{}, nil, nil)))
	require.NoError(t, json.Unmarshal(b.Bytes(), &doc))
	for _, list := range []string{"loops", "blockers", "blocks", "unsupported"} {
		assert.Equal(t, []any{}, doc[list], list)
	}
}

// assertNoNullLists allows null only where the contract does.
func assertNoNullLists(t *testing.T, at string, v any) {
	switch v := v.(type) {
	case nil:
		assert.Regexp(t, `\.(culprit|leaf|holder|place)$`, at)
	case map[string]any:
		for k, e := range v {
			assertNoNullLists(t, at+"."+k, e)
		}
	case []any:
		for _, e := range v {
			assertNoNullLists(t, at, e)
		}
	}
}

func TestJSONIsThatOfTheWholeModel(t *testing.T) {
	for _, r := range []*model.Report{reporttest.Example(), reporttest.Hostile("\n  \"blocks\": []"), summary.Assemble(summary.Meta{}, nil, nil)} {
		var got, want bytes.Buffer
		require.NoError(t, Write(&got, r))
		e := json.NewEncoder(&want)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		require.NoError(t, e.Encode(r))
		assert.Equal(t, want.String(), got.String())
	}
}

func TestWriteBlockIsOneLine(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, WriteBlock(&out, model.Block{PID: 7, TID: 8, DurationNS: 5, Culprit: &model.Frame{Function: "<module>\n"}}))
	assert.Equal(t, 1, strings.Count(out.String(), "\n"))
	var doc map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &doc))
	assert.Equal(t, model.SchemaBlock, doc["schema"])
	assert.Equal(t, "unknown", doc["cause"])
	assert.Equal(t, []any{}, doc["stacks"])
}

// A sum with a lower bound in it is one; in JSON that is said where it is so, and nowhere else.
func TestLowerBoundsInJSON(t *testing.T) {
	block := func(start, duration int64, function string) model.Block {
		return model.Block{PID: 1, TID: 1, StartNS: start, DurationNS: duration, Cause: model.CauseSleep, Culprit: &model.Frame{Function: function}}
	}
	began := block(0, 300, "f")
	began.AtLeast = true
	r := summary.Assemble(summary.Meta{}, nil, []model.Block{began, block(1000, 900, "f"), block(2000, 400, "g")})
	var out bytes.Buffer
	require.NoError(t, Write(&out, r))
	var got struct {
		Blocks, Blockers []map[string]any
	}
	require.NoError(t, json.Unmarshal(out.Bytes(), &got))
	var said []any
	for _, of := range slices.Concat(got.Blocks, got.Blockers) {
		said = append(said, of["at_least"])
	}
	assert.Equal(t, []any{true, nil, nil, true, nil}, said)

	out.Reset()
	require.NoError(t, WriteBlock(&out, began))
	assert.Contains(t, out.String(), `"at_least":true`)
}

// TestWaits: no list is null, and nothing a process has made is printed as it is.
func TestWaits(t *testing.T) {
	for _, p := range []*model.WaitProfile{{}, reporttest.Waits("\x1b[31m")} {
		var b bytes.Buffer
		require.NoError(t, WriteWaits(&b, p))
		var v map[string]any
		require.NoError(t, json.Unmarshal(b.Bytes(), &v))
		assert.Equal(t, model.SchemaWaits, v["schema"])
		assertNoNullLists(t, "", v)
		assert.NotContains(t, b.String(), "\x1b")
	}
}

// FuzzWrite lets a watched process choose every string and looks for what is no JSON, or would be obeyed by a terminal.
func FuzzWrite(f *testing.F) {
	f.Add("Handler.get")
	f.Add("\x1b]0;x\a\u202e\u2066\r\n\xff")
	f.Fuzz(func(t *testing.T, s string) {
		for _, write := range []func(*bytes.Buffer) error{
			func(b *bytes.Buffer) error { return Write(b, reporttest.Hostile(s)) },
			func(b *bytes.Buffer) error { return WriteDump(b, reporttest.Dump(s)) },
		} {
			var b bytes.Buffer
			require.NoError(t, write(&b))
			var back any
			require.NoError(t, json.Unmarshal(b.Bytes(), &back))
			for line := range strings.Lines(b.String()) {
				for _, r := range strings.TrimSuffix(line, "\n") {
					require.True(t, unicode.IsGraphic(r), "%U", r) // a letter, a mark, a sign, or a space
				}
			}
		}
	})
}

// What a process has made is bounded and printable in a dump, too.
func TestDumpHostileNames(t *testing.T) {
	for _, s := range reporttest.HostileNames {
		var b bytes.Buffer
		require.NoError(t, WriteDump(&b, reporttest.Dump(s)))
		require.True(t, utf8.Valid(b.Bytes()))
		var back model.Dump
		require.NoError(t, json.Unmarshal(b.Bytes(), &back))
		require.Equal(t, model.SchemaDump, back.Schema)
		require.NotContains(t, b.String(), "\x1b")
		require.LessOrEqual(t, len(back.Processes[0].Command), 4<<10)
	}
}

type failingWriter struct{ left int }

var errFull = errors.New("full")

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestWriteReportsFailure(t *testing.T) {
	for _, room := range []int{0, 100, 700, 1500} {
		assert.ErrorIs(t, Write(&failingWriter{room}, reporttest.Example()), errFull, room)
	}
}
