// SPDX-License-Identifier: Apache-2.0

package tui

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/live"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/testterm"
)

const patience = time.Minute

// running is Run on a terminal of its own.
type running struct {
	*testterm.Terminal
	ended  chan error
	cancel context.CancelFunc
}

func runOn(t *testing.T, observe Observe) running {
	ctx, cancel := context.WithCancel(t.Context())
	r := running{testterm.New(t, 100, 30), make(chan error, 1), cancel}
	go func() { r.ended <- Run(ctx, r.File, true, observe) }()
	t.Cleanup(cancel)
	return r
}

func (r running) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.ended:
		r.Restored(t)
		return err
	case <-time.After(patience):
		t.Fatalf("it does not end:\n%s", r.Screen())
		return nil
	}
}

// showing shows one view again and again until it is to end.
func showing(s *live.View) Observe {
	return func(ctx context.Context, _ <-chan time.Duration, show func(*live.View)) error {
		for ctx.Err() == nil {
			show(s)
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
		return nil
	}
}

func (r running) drawn(t *testing.T) {
	t.Helper()
	r.Await(t, patience, "the table", func(s string) bool { return strings.Contains(s, "quiet.py[4720]") })
}

// However it ends, the terminal is as it was.
func TestTerminalIsRestored(t *testing.T) {
	broken := errors.New("the kernel is on fire")
	for name, c := range map[string]struct {
		observe Observe
		act     func(running)
		wants   string // of the error
	}{
		"q":      {showing(incident()), func(r running) { r.Press(t, "q") }, ""},
		"Ctrl-C": {showing(incident()), func(r running) { r.Press(t, "\x03") }, ""},
		"signal": {showing(incident()), func(r running) { r.cancel() }, ""},
		"the observation ends": {func(_ context.Context, _ <-chan time.Duration, show func(*live.View)) error {
			show(incident())
			return nil
		}, nil, ""},
		"it fails": {func(_ context.Context, _ <-chan time.Duration, show func(*live.View)) error {
			show(incident())
			return broken
		}, nil, broken.Error()},
		"it panics": {func(_ context.Context, _ <-chan time.Duration, show func(*live.View)) error {
			show(incident())
			panic("a bug")
		}, nil, "internal error: a bug"},
		"the view panics": {showing(&live.View{Loops: []live.Loop{{Loop: model.Loop{Command: "x"}, State: live.Blocked, For: time.Hour}}}), nil, "internal error"},
	} {
		t.Run(name, func(t *testing.T) {
			r := runOn(t, c.observe)
			if c.act != nil {
				r.drawn(t)
				c.act(r)
			}
			err := r.end(t)
			if c.wants == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.wants)
			}
		})
	}
}

// An observation that cannot begin leaves the screen alone.
func TestNothingIsDrawnWithoutAnObservation(t *testing.T) {
	r := runOn(t, func(context.Context, <-chan time.Duration, func(*live.View)) error { return errors.New("not root") })
	require.ErrorContains(t, r.end(t), "not root")
	// What it drew has to get through the terminal first.
	assert.Eventually(t, func() bool { return strings.TrimSpace(r.Screen()) == "" }, time.Minute, time.Millisecond)
}

// A key changes the threshold of the observation, and the next view says so.
func TestThresholdReachesTheObservation(t *testing.T) {
	r := runOn(t, func(ctx context.Context, thresholds <-chan time.Duration, show func(*live.View)) error {
		s := incident()
		for {
			show(s)
			select {
			case <-ctx.Done():
				return nil
			case d := <-thresholds:
				changed := *s
				changed.Threshold, changed.Counting = d, s.Counting.Add(time.Minute)
				s = &changed
			}
		}
	})
	r.drawn(t)
	r.Press(t, "-")
	r.Await(t, patience, "the new threshold", func(s string) bool { return strings.Contains(s, "≥ 50 ms since 03:01:00") })
	r.Press(t, "++")
	r.Await(t, patience, "the new threshold", func(s string) bool { return strings.Contains(s, "≥ 200 ms since") })
	r.Press(t, "q")
	require.NoError(t, r.end(t))
}

func TestPlainPrintsEachInterval(t *testing.T) {
	var out bytes.Buffer
	missed, err := Plain(t.Context(), &out, 0, func(_ context.Context, _ <-chan time.Duration, show func(*live.View)) error {
		for range 4 {
			show(incident())
		}
		return nil
	})
	require.NoError(t, err)
	assert.Zero(t, missed)
	assert.Equal(t, 3, strings.Count(out.String(), "app.py[4711] is blocked"), "the first is of no time")
}

// A slow reader costs views, and they are counted.
func TestPlainDoesNotWait(t *testing.T) {
	gate := make(chan struct{})
	w := slow{gate}
	missed, err := Plain(t.Context(), w, 0, func(_ context.Context, _ <-chan time.Duration, show func(*live.View)) error {
		for range 100 {
			show(incident())
		}
		close(gate)
		return nil
	})
	require.NoError(t, err)
	assert.InDelta(t, 94, missed, 2)
}

type slow struct{ gate chan struct{} }

func (s slow) Write(p []byte) (int, error) { <-s.gate; return len(p), nil }

func TestPlainFails(t *testing.T) {
	_, err := Plain(t.Context(), &bytes.Buffer{}, 0, func(context.Context, <-chan time.Duration, func(*live.View)) error { panic("a bug") })
	require.ErrorContains(t, err, "internal error: a bug")
	_, err = Plain(t.Context(), broken{}, 0, showing(incident()))
	require.ErrorContains(t, err, "broken")
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken") }
