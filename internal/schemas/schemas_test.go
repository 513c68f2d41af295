// SPDX-License-Identifier: Apache-2.0

package schemas

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/compare"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/recording"
	"github.com/loopwatch/loopwatch/internal/report/json"
	"github.com/loopwatch/loopwatch/internal/report/reporttest"
	"github.com/loopwatch/loopwatch/internal/summary"
)

const root = "../.."

// What is published is what the code writes: "go run ./internal/schemas/gen" makes it anew.
func TestPublished(t *testing.T) {
	t.Chdir(root)
	files, err := filepath.Glob("docs/schemas/*")
	require.NoError(t, err)
	assert.Len(t, files, len(Names()))
	for _, name := range Names() {
		want, err := Generate(name, ".", false)
		require.NoError(t, err)
		got, err := os.ReadFile("docs/schemas/" + name + ".json")
		require.NoError(t, err)
		assert.Equal(t, string(want), string(got), "run: go run ./internal/schemas/gen")
		_, err = Compile(name, got)
		require.NoError(t, err)
	}
}

func valid(t *testing.T, name string, write func(*bytes.Buffer) error) {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, write(&b))
	assert.NoError(t, Validate(name, &b))
}

func TestReports(t *testing.T) {
	reports := []*model.Report{reporttest.Example(), reporttest.Everything(), reporttest.EveryCause(), summary.Assemble(summary.Meta{}, nil, nil)}
	for seed := range uint64(20) {
		reports = append(reports, reporttest.Random(seed))
	}
	known := reporttest.Everything()
	known.LetThrough = &model.LetThrough{Unmatched: []model.Unmatched{{Rule: "i:3", Text: "x"}}}
	known.Blockers[0].Known = &model.Known{Rule: "i:4", Why: "y"}
	for _, r := range append(reports, known) {
		valid(t, "report.v1", func(b *bytes.Buffer) error { return json.Write(b, r) })
		for _, one := range r.Blocks {
			valid(t, "block.v1", func(b *bytes.Buffer) error { return json.WriteBlock(b, one) })
		}
	}
	d, err := compare.Reports(known, reporttest.Everything())
	require.NoError(t, err)
	valid(t, "diff.v1", func(b *bytes.Buffer) error { return json.WriteDiff(b, d) })
	valid(t, "dump.v1", func(b *bytes.Buffer) error { return json.WriteDump(b, reporttest.Dump("x")) })
	valid(t, "waits.v1", func(b *bytes.Buffer) error { return json.WriteWaits(b, reporttest.Waits("x")) })
	valid(t, "waits.v1", func(b *bytes.Buffer) error { return json.WriteWaits(b, &model.WaitProfile{}) })
}

// Every line of the recordings that blocks are judged from again.
func TestRecordings(t *testing.T) {
	files, err := filepath.Glob(root + "/test/replay/testdata/cause-*.zst")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		f, err := os.Open(file)
		require.NoError(t, err)
		defer f.Close()
		unzip, err := zstd.NewReader(f)
		require.NoError(t, err)
		defer unzip.Close()
		lines := bufio.NewScanner(unzip)
		lines.Buffer(nil, 64<<20)
		name := "recording.v1.header"
		for lines.Scan() {
			require.NoError(t, Validate(name, bytes.NewReader(lines.Bytes())), file)
			name = "recording.v1.period"
		}
		require.NoError(t, lines.Err())
	}
	var zipped bytes.Buffer
	w, err := recording.NewWriter(&zipped)
	require.NoError(t, err)
	w.Note(recording.Note{Loop: &model.Loop{}})
	w.Note(recording.Note{Block: &recording.Block{Delayed: &model.Delayed{}}})
	w.Note(recording.Note{Unsupported: &model.Unsupported{}})
	w.Note(recording.Note{End: &recording.End{}})
	require.NoError(t, w.Close())
	unzip, err := zstd.NewReader(&zipped)
	require.NoError(t, err)
	defer unzip.Close()
	lines := bufio.NewScanner(unzip)
	for lines.Scan() {
		assert.NoError(t, Validate("recording.v1.note", bytes.NewReader(lines.Bytes())))
	}
}

// A document that is wrong is told from one that is right.
func TestWrong(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, json.Write(&b, reporttest.Example()))
	whole := b.String()
	require.NoError(t, Validate("report.v1", strings.NewReader(whole)))
	for old, new := range map[string]string{
		`"loopwatch.report/v1"`: `"loopwatch.report/v2"`, `"duration_ns": `: `"duration_ns": "a", "x": `, `"loops": [`: `"loops": null, "y": [`,
		`"pid"`: `"pit"`, `"ongoing": false`: `"ongoing": 0`, `"started_ns"`: `"new": 1, "started_ns"`,
	} {
		require.Contains(t, whole, old)
		assert.Error(t, Validate("report.v1", strings.NewReader(strings.Replace(whole, old, new, 1))), new)
	}
	assert.Error(t, Validate("none", strings.NewReader("{}")))
}
