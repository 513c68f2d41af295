// SPDX-License-Identifier: Apache-2.0

// Package replay judges recordings again and compares the blocks with those of the report that was written with them. It
// needs no root, no kernel and no Python. A recording NAME.zst in testdata has its report (report --record NAME.zst
// --format json --output NAME.json) beside it; LOOPWATCH_REPLAY names a directory with others.
package replay

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/block"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/recording"
	"github.com/loopwatch/loopwatch/internal/summary"
)

func TestReplay(t *testing.T) {
	var files []string
	for _, dir := range []string{"testdata", os.Getenv("LOOPWATCH_REPLAY")} {
		found, err := filepath.Glob(filepath.Join(dir, "*.zst"))
		require.NoError(t, err)
		if dir != "" {
			files = append(files, found...)
		}
	}
	if len(files) == 0 {
		t.Skip("no recordings")
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { replay(t, file) })
	}
}

func replay(t *testing.T, file string) {
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	r, err := recording.NewReader(f)
	require.NoError(t, err)
	defer r.Close()
	if r.Header.Host.Arch != runtime.GOARCH {
		t.Skipf("the syscalls in it are those of %s", r.Header.Host.Arch)
	}
	text, err := os.ReadFile(strings.TrimSuffix(file, ".zst") + ".json")
	require.NoError(t, err)
	var want model.Report
	require.NoError(t, json.Unmarshal(text, &want))

	builder := summary.NewBuilder(summary.Limits{})
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		j := block.Judge(e)
		for _, b := range j.Blocks {
			builder.Add(b)
		}
		if j.Ongoing != nil {
			builder.Add(*j.Ongoing)
		}
	}
	got := builder.Report(summary.Meta{StartedAt: r.Header.StartedAt, StartedNS: r.Header.StartedNS, ThresholdNS: r.Header.ThresholdNS}, want.Loops)
	assert.Equal(t, plain(t, want.Blocks), plain(t, got.Blocks))
}

// plain returns blocks as JSON, in one order, without what comes after the judgement.
func plain(t *testing.T, blocks []model.Block) string {
	blocks = slices.Clone(blocks)
	for i := range blocks {
		blocks[i].Delayed, blocks[i].Schema = nil, ""
	}
	slices.SortFunc(blocks, func(a, b model.Block) int {
		return cmp.Or(cmp.Compare(a.TID, b.TID), cmp.Compare(a.StartNS, b.StartNS))
	})
	text, err := json.MarshalIndent(blocks, "", "  ")
	require.NoError(t, err)
	return string(text)
}
