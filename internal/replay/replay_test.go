// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/advice"
	"github.com/loopwatch/loopwatch/internal/block"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/recording"
	"github.com/loopwatch/loopwatch/internal/summary"
)

// real is a recording of blocks by one cause, without notes.
const real = "../../test/replay/testdata/cause-net.zst"

// evidence returns what is in it.
func evidence(t testing.TB) (recording.Header, []*block.Evidence) {
	t.Helper()
	f, err := os.Open(real)
	require.NoError(t, err)
	defer f.Close()
	r, err := recording.NewReader(f)
	require.NoError(t, err)
	defer r.Close()
	var all []*block.Evidence
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			r.Header.Host.Arch = runtime.GOARCH
			return r.Header, all
		}
		require.NoError(t, err)
		all = append(all, e.Evidence)
	}
}

// TestTheSameReport: what is recorded with its notes gives the report that was made meanwhile.
func TestTheSameReport(t *testing.T) {
	header, all := evidence(t)
	live := summary.NewBuilder(summary.Limits{})
	var file bytes.Buffer
	w, err := recording.NewWriter(&file)
	require.NoError(t, err)
	w.Begin(header)
	blocks := 0
	for _, e := range all {
		w.Add(e)
		for _, b := range block.Judge(e).Blocks {
			b.StartedAt, b.Delayed = time.Unix(int64(blocks), 0).Format(time.RFC3339Nano), &model.Delayed{Events: int64(blocks), MaxNS: 7}
			w.Note(recording.Note{Block: &recording.Block{TID: b.TID, StartNS: b.StartNS, StartedAt: b.StartedAt, Delayed: b.Delayed}})
			live.Add(b)
			blocks++
		}
	}
	require.Positive(t, blocks)
	loops := []model.Loop{{PID: all[0].PID, TID: all[0].TID, Command: "python3 app.py", Loop: "asyncio", Iterations: 9, IdleNS: 5, ActiveNS: 5}}
	for i := range loops {
		w.Note(recording.Note{Loop: &loops[i]})
	}
	not := model.Unsupported{PID: 3, Command: "old", Reason: "too old"}
	w.Note(recording.Note{Unsupported: &not})
	lost := model.Lost{Events: 1, Reasons: map[string]int64{"records_lost_ring_full": 1}}
	w.Note(recording.Note{End: &recording.End{EndedNS: header.StartedNS + 7e9, Processes: 4, Lost: lost}})
	require.NoError(t, w.Close())
	want := live.Report(summary.Meta{StartedAt: header.StartedAt, StartedNS: header.StartedNS, EndedNS: header.StartedNS + 7e9, ThresholdNS: header.ThresholdNS,
		Processes: 4, Host: header.Host, Lost: lost, Unsupported: []model.Unsupported{not}}, loops)
	advice.Fill(want)

	got, err := Report(bytes.NewReader(file.Bytes()))
	require.NoError(t, err)
	assert.True(t, got.Complete)
	assert.Equal(t, want, got.Report)

	_, err = Report(bytes.NewReader(file.Bytes()[:file.Len()/2]))
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF, "cut in the middle")
}

// What is not complete is judged, and says so.
func TestWithoutItsEnd(t *testing.T) {
	f, err := os.Open(real)
	require.NoError(t, err)
	defer f.Close()
	got, err := Report(f)
	if errors.Is(err, ErrForeign) {
		t.Skip(err)
	}
	require.NoError(t, err)
	assert.False(t, got.Complete)
	assert.NotEmpty(t, got.Report.Blocks)
}

// Blocks whose notes never come do not wait without bound.
func TestPendingIsBounded(t *testing.T) {
	p := newPlayer()
	for i := range maxPending + 500 {
		require.NoError(t, p.judged(&model.Block{PID: 1, TID: 1, StartNS: int64(i), DurationNS: 5}))
		require.LessOrEqual(t, len(p.pending), maxPending)
	}
	frames := make([]model.Frame, 8192)
	for i := range 2000 {
		require.NoError(t, p.judged(&model.Block{PID: 1, TID: 2, StartNS: int64(i), DurationNS: 5, Stacks: []model.Stack{{Frames: frames}}}))
		require.LessOrEqual(t, p.waiting, maxFrames)
	}
	var err error
	for i := 0; err == nil && i < 2000; i++ {
		frames := append([]model.Frame{{Function: fmt.Sprint("f", i)}}, frames...)
		err = p.judged(&model.Block{PID: 1, TID: 2, StartNS: int64(i), DurationNS: 5, Culprit: &frames[0], Stacks: []model.Stack{{Frames: frames}}})
	}
	assert.ErrorContains(t, err, "more names or frames")
}

// FuzzReport judges recordings that somebody has made up.
func FuzzReport(f *testing.F) {
	f.Add(`{"samples":[{"frames":[{}]}],"start_ns":5,"end_ns":-5,"threshold_ns":-9}`)
	f.Add(`{"pid":1,"tid":1,"period":3,"threshold_ns":1,"start_ns":0,"end_ns":9223372036854775807,"samples":[{"kind":"tick","at_ns":5,"frames":[{"function":"f"}]},{"ns":-9223372036854775808}]}`)
	f.Add(`{"of_block":{"tid":1}}`)
	f.Add(`{"of_end":{"ended_ns":-1}}`)
	f.Fuzz(func(t *testing.T, line string) {
		var file bytes.Buffer
		w := zipped(t, &file, fmt.Sprintf("{\"schema\":%q,\"host\":{\"arch\":%q}}\n%s\n", recording.Schema, runtime.GOARCH, line))
		_, _ = Report(w)
	})
}

func zipped(t testing.TB, file *bytes.Buffer, lines string) io.Reader {
	t.Helper()
	zip, err := zstd.NewWriter(file)
	require.NoError(t, err)
	_, err = io.WriteString(zip, lines)
	require.NoError(t, err)
	require.NoError(t, zip.Close())
	return file
}
