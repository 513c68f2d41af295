// SPDX-License-Identifier: Apache-2.0

package text

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
)

// streamed is a stream and the time it takes for the present.
type streamed struct {
	*Stream
	out bytes.Buffer
	now time.Time
}

func newStreamed(o Options) *streamed {
	s := &streamed{now: time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)}
	s.Stream = NewStream(&s.out, o)
	return s
}

func (s *streamed) block(t *testing.T, pid int, function string, took time.Duration, ongoing bool) {
	t.Helper()
	b := model.Block{PID: pid, TID: pid, DurationNS: int64(took), Cause: model.CauseSleep, Ongoing: ongoing,
		Culprit: &model.Frame{Function: function, File: "/srv/app.py", Line: 42}}
	require.NoError(t, s.Write(&b, model.Loop{PID: pid, TID: pid, Command: "python3 app.py"}, s.now, s.now))
}

func (s *streamed) lines() []string {
	return strings.Split(strings.TrimSuffix(s.out.String(), "\n"), "\n")
}

func TestStreamPrintsBlocksAsTheyCome(t *testing.T) {
	s := newStreamed(Options{})
	s.block(t, 7, "get", 150*time.Millisecond, false)
	s.block(t, 7, "put", time.Second, true)
	s.block(t, 7, "put", 2*time.Second, false)
	lines := s.lines()
	require.Len(t, lines, 3)
	assert.Equal(t, "03:04:05.678  150 ms     sleep       app.py[7]                 get app.py:42", lines[0])
	assert.Contains(t, lines[1], "≥ 1 s ")
	assert.Contains(t, lines[2], "  2 s ")
}

// A block whose beginning nobody saw, too, may have taken longer than its line says, and is never among those counted.
func TestStreamMarksLowerBounds(t *testing.T) {
	s := newStreamed(Options{})
	b := model.Block{PID: 7, TID: 7, DurationNS: 3 * int64(time.Second), AtLeast: true, Cause: model.CauseSleep, Detail: model.Detail{Syscall: "clock_nanosleep"},
		Culprit: &model.Frame{Function: "get", File: "/srv/app.py", Line: 42}}
	write := func() {
		block := b
		require.NoError(t, s.Write(&block, model.Loop{PID: 7, TID: 7, Command: "python3 app.py"}, s.now, s.now))
	}
	write()
	write()
	b.Ongoing = true
	write()
	require.NoError(t, s.Flush(s.now.Add(4*time.Second), true))
	const start = "03:04:05.678  ≥ 3 s      sleep       app.py[7]                 get app.py:42  "
	assert.Equal(t, start+"had begun before the start, in clock_nanosleep", s.lines()[0])
	assert.Equal(t, s.lines()[0], s.lines()[1])
	assert.Equal(t, "03:04:05.678  ≥ 4 s      sleep       app.py[7]                 get app.py:42  still going on, in clock_nanosleep", s.lines()[2])
	assert.Len(t, s.lines(), 3)
}

// A block that outlasts those like it is shown, though the others are only counted.
func TestStreamTellsOfWhatOutlastsTheUsual(t *testing.T) {
	s := newStreamed(Options{})
	for range 3 {
		s.block(t, 7, "get", 300*time.Millisecond, false)
	}
	s.block(t, 7, "get", 150*time.Millisecond, true)
	require.NoError(t, s.Flush(s.now.Add(250*time.Millisecond), false))
	assert.Len(t, s.lines(), 1, "as long as the others were")
	require.NoError(t, s.Flush(s.now.Add(500*time.Millisecond), false))
	require.NoError(t, s.Flush(s.now.Add(750*time.Millisecond), false))
	lines := s.lines()
	require.Len(t, lines, 2, "printed once")
	assert.Contains(t, lines[1], "≥ 500 ms")
	s.block(t, 7, "get", 5*time.Second, false)
	lines = s.lines()
	require.Len(t, lines, 3, "and its end, too")
	assert.Contains(t, lines[2], "  5 s ")
	s.block(t, 7, "get", 300*time.Millisecond, false)
	require.NoError(t, s.Flush(s.now, true))
	assert.Contains(t, s.lines()[3], "x3 in the last", "the one with lines of its own is not counted twice")

	s.block(t, 7, "get", 300*time.Millisecond, true)
	s.block(t, 7, "get", 300*time.Millisecond, false)
	require.NoError(t, s.Flush(s.now.Add(FoldWindow), false))
	assert.Len(t, s.lines(), 5, "ended meanwhile: counted alone")
	s.block(t, 7, "get", 300*time.Millisecond, true)
	require.NoError(t, s.Flush(s.now, true))
	assert.Len(t, s.lines(), 6, "nothing is left unprinted at the end")
}

// Whatever the width, who was blocked, by what and how often stays.
// Of several blocks in one active period each has its line, with the length of the period; the last may have been told
// while it went on, and where it began may have become clearer since.
func TestStreamTellsOfSeveralInAPeriod(t *testing.T) {
	s := newStreamed(Options{})
	write := func(function string, start, took time.Duration, ongoing bool) {
		b := model.Block{PID: 7, TID: 7, StartNS: int64(start), DurationNS: int64(took), Period: 3, PeriodNS: int64(start + took), Ongoing: ongoing,
			Cause: model.CauseSleep, Culprit: &model.Frame{Function: function, File: "/srv/app.py", Line: 42}}
		require.NoError(t, s.Write(&b, model.Loop{PID: 7, TID: 7, Command: "python3 app.py"}, s.now, s.now))
	}
	write("b", 150*time.Millisecond, 120*time.Millisecond, true)
	write("a", 0, 155*time.Millisecond, false)
	write("b", 155*time.Millisecond, 195*time.Millisecond, false)
	lines := s.lines()
	require.Len(t, lines, 3)
	assert.Contains(t, lines[0], "b app.py:42  still going on, one of several in ≥ 270 ms")
	assert.Contains(t, lines[1], "a app.py:42  one of several in 155 ms")
	assert.Contains(t, lines[2], "  195 ms ")
	assert.Contains(t, lines[2], "one of several in 350 ms")
	assert.Empty(t, s.going)
}

func TestStreamFits(t *testing.T) {
	for _, width := range []int{80, 100, 200} {
		s := newStreamed(Options{Width: width})
		b := model.Block{PID: 1234567, TID: 1234567, DurationNS: 5e8, Cause: model.CauseSubprocess, Culprit: &model.Frame{Function: "fetch_price", File: "/srv/app.py", Line: 1035},
			Detail: model.Detail{Syscall: "recvfrom", Target: "tcp 10.0.0.5:443"}}
		for range 1000 {
			require.NoError(t, s.Write(&b, model.Loop{PID: 1234567, TID: 1234567, Command: "python3 /srv/app.py"}, s.now, s.now))
		}
		require.NoError(t, s.Flush(s.now.Add(FoldWindow), false))
		lines := s.lines()
		require.Len(t, lines, 2)
		for _, l := range lines {
			assert.LessOrEqual(t, safetext.Width(l), width, l)
			assert.Contains(t, l, "app.py[1234567]")
			assert.Contains(t, l, "500 ms")
		}
		assert.Contains(t, lines[0], "fetch_price app.py:1035")
		assert.Contains(t, lines[1], "x999")
	}
}

func TestStreamFoldsWhatRepeats(t *testing.T) {
	s := newStreamed(Options{})
	for range 38 {
		s.block(t, 7, "get", 150*time.Millisecond, false)
		s.now = s.now.Add(200 * time.Millisecond)
	}
	s.block(t, 8, "get", 150*time.Millisecond, false) // another loop
	s.block(t, 7, "put", 150*time.Millisecond, false) // another place
	require.NoError(t, s.Flush(s.now, false))
	assert.Len(t, s.lines(), 3, "the rest of get is counted")

	s.now = s.now.Add(FoldWindow - 38*200*time.Millisecond)
	require.NoError(t, s.Flush(s.now, false))
	lines := s.lines()
	require.Len(t, lines, 4)
	assert.Contains(t, lines[3], "get app.py:42  x37 in the last 10 s, 5.55 s in all")

	// It goes on: still folded, and printed again ten seconds later.
	s.block(t, 7, "get", time.Second, false)
	assert.Len(t, s.lines(), 4)
	require.NoError(t, s.Flush(s.now.Add(time.Second), true))
	lines = s.lines()
	require.Len(t, lines, 5, "nothing is left unprinted at the end")
	assert.Contains(t, lines[4], "x1 in the last 1 s, 1 s in all")
}

func TestStreamForgetsWhatDoesNotRepeat(t *testing.T) {
	s := newStreamed(Options{})
	s.block(t, 7, "get", time.Second, false)
	require.NoError(t, s.Flush(s.now.Add(FoldWindow), false))
	assert.Empty(t, s.folds)
	s.now = s.now.Add(FoldWindow)
	s.block(t, 7, "get", time.Second, false)
	assert.Len(t, s.lines(), 2)
}

// However many different blockers there are, memory is bounded and each block has its line or its count.
func TestStreamIsBounded(t *testing.T) {
	s := newStreamed(Options{})
	for i := range 2 * maxFolds {
		s.block(t, 7, fmt.Sprint("f", i), time.Second, false)
	}
	assert.Len(t, s.folds, maxFolds)
	assert.Len(t, s.lines(), 2*maxFolds)
}

func TestStreamIsInert(t *testing.T) {
	s := newStreamed(Options{Width: 80})
	s.block(t, 7, "\x1b[2Jevil\nname\u202e"+strings.Repeat("x", 1<<20), time.Second, false)
	require.Len(t, s.lines(), 1)
	assert.NotContains(t, s.out.String(), "\x1b")
	assert.NotContains(t, s.out.String(), "\u202e")
	assert.LessOrEqual(t, len(s.lines()[0]), 200)
}

func TestStreamSaysThatItCannotWrite(t *testing.T) {
	s := NewStream(failing{}, Options{})
	assert.Error(t, s.Write(&model.Block{}, model.Loop{}, time.Time{}, time.Time{}))
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("no room") }

// Who had to wait is told where the user wants to know more.
func TestStreamTellsWhoWaited(t *testing.T) {
	b := model.Block{PID: 7, TID: 7, DurationNS: int64(time.Second), Cause: model.CauseSleep, Detail: model.Detail{Syscall: "clock_nanosleep"},
		Delayed: &model.Delayed{Events: 5, By: []model.DelayedBy{{Target: "tcp 0.0.0.0:8080", Events: 5}, {Target: "timer", Events: 1}}}}
	for _, verbose := range []bool{false, true} {
		s := newStreamed(Options{Verbose: verbose})
		require.NoError(t, s.Write(&b, model.Loop{PID: 7, TID: 7, Command: "python3 app.py"}, s.now, s.now))
		assert.Equal(t, verbose, strings.HasSuffix(s.lines()[0], "in clock_nanosleep, 5 connections on :8080 and a timer had to wait"))
	}
	var out bytes.Buffer
	require.NoError(t, WriteStack(&out, &b, Options{Width: 80}))
	assert.Contains(t, out.String(), "      5 connections on :8080 and a timer had to wait\n")
}
