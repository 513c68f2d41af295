// SPDX-License-Identifier: Apache-2.0

package words

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
)

func TestFoldStack(t *testing.T) {
	app := func(n string) model.Frame { return model.Frame{Function: n, App: true} }
	libf := func(n, p string) model.Frame {
		return model.Frame{Function: n, File: "/usr/lib/python3/dist-packages/" + p + "/x.py"}
	}
	show := func(frames []model.Frame, all bool) []string {
		var s []string
		for _, run := range FoldStack(frames, all) {
			if len(run.Frames) == 1 {
				s = append(s, run.Frames[0].Function)
			} else {
				s = append(s, fmt.Sprintf("%d %s", len(run.Frames), run.Library))
			}
		}
		return s
	}
	stack := []model.Frame{libf("leaf", "u"), libf("a", "u"), libf("b", "u"), libf("called", "req"), app("culprit"),
		libf("c", "x"), libf("d", "y"), libf("e", "y"), app("root")}
	assert.Equal(t, []string{"leaf", "2 u", "called", "culprit", "2 ", "e", "root"}, show(stack, false))
	assert.Len(t, show(stack, true), len(stack))
	assert.Equal(t, []string{"a", "2 u", "root"}, show([]model.Frame{libf("a", "u"), libf("b", "u"), libf("c", "u"), libf("root", "u")}, false))
	assert.Equal(t, []string{"a", "b", "c"}, show([]model.Frame{libf("a", "u"), libf("b", "u"), libf("c", "u")}, false), "one frame is not folded")
	assert.Empty(t, show(nil, false))
}

// Whatever is folded, the ends stay, the order stays, and the counts add up.
func TestFoldStackAnyStack(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		frames := make([]model.Frame, 1+r.IntN(200))
		share := r.Float64()
		for i := range frames {
			frames[i] = model.Frame{Line: i, App: r.Float64() < share}
		}
		next := 0
		runs := FoldStack(frames, false)
		for _, run := range runs {
			for _, f := range run.Frames {
				require.Equal(t, next, f.Line)
				next++
			}
		}
		require.Equal(t, len(frames), next)
		require.Len(t, runs[0].Frames, 1)
		require.Len(t, runs[len(runs)-1].Frames, 1)
		require.LessOrEqual(t, len(runs), 4*maxAppFrames)
	}
}

func TestShortCommand(t *testing.T) {
	for command, want := range map[string]string{
		"/usr/bin/python3 /usr/bin/uvicorn app:app": "uvicorn",
		"python3 -X dev -u /srv/app.py --port 1":    "app.py",
		"python3.12 -m http.server 80":              "http.server",
		"python -c import\u00a0this":                "python -c",
		"python3":                                   "python3",
		"gunicorn: master [shop]":                   "gunicorn",
		"/opt/embed/bin/server --x":                 "server",
		"":                                          "?",
		"   ":                                       "?",
		"python3 -W":                                "python3",
	} {
		assert.Equal(t, want, ShortCommand(command), command)
	}
}

const ms = int64(time.Millisecond)

func TestHumanDuration(t *testing.T) {
	for ns, want := range map[int64]string{
		0: "0 ns", 999: "999 ns", 1000: "1 µs", 1234: "1.23 µs", 12_345: "12.3 µs", 99_949: "99.9 µs", 99_960: "100 µs",
		312 * ms: "312 ms", 999_600_000: "1 s", 4_210_000_000: "4.21 s", 10_000 * ms: "10 s", 59_900 * ms: "59.9 s",
		99_940 * ms: "99.9 s", 100_000 * ms: "1 min 40 s", 7_500_000 * ms: "2 h 5 min", -5 * ms: "-5 ms",
		-1 << 63: "-2562047 h 47 min",
	} {
		assert.Equal(t, want, HumanDuration(ns), ns)
	}
}
