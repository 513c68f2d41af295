// SPDX-License-Identifier: Apache-2.0

package text

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/reporttest"
)

func dumpText(t *testing.T, d *model.Dump, o Options) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, WriteDump(&b, d, o))
	return b.String()
}

// withoutWaits is reporttest.Dump of tasks that nobody keeps waiting.
func withoutWaits() *model.Dump {
	d := reporttest.Dump("")
	p := &d.Processes[0]
	p.Executors, p.Deadlocks, p.Loops[0].Waits = nil, nil, nil
	return d
}

// TestDumpOfShortages: a deadlock comes first, then a loop that is blocked, then what is short.
func TestDumpOfShortages(t *testing.T) {
	d := reporttest.Dump("")
	text := dumpText(t, d, Options{})
	const short = "37 tasks wait for a lock at fetch app.py:35, held by fetch app.py:35 (keeper), in idle.py[20]"
	lines := strings.Split(text, "\n")
	assert.Equal(t, []string{
		"Deadlock: 2 tasks wait for one another: one at fetch app.py:35, two at fetch app.py:35, in idle.py[20]", "",
		"1 of 3 loops blocked now; longest 3.2 s in fetch app.py:35 (net, tcp 10.0.0.1:443), in app.py[10]", short,
	}, lines[:4])
	for _, part := range []string{
		"    3 callbacks ready, 4 timers, the first 1.2 s late\n",
		"     37 for a lock at fetch app.py:35, held by fetch app.py:35 (keeper)\n",
		"      2 for room in a queue at fetch app.py:35\n", "      2 for a free thread\n", "     60 asleep at fetch app.py:35\n",
		"  thread pool crunchers: 4 of 4 threads busy, 3 calls queued\n      3 in fetch app.py:35\n      1 in nothing that is known\n",
		"  default process pool ProcessPoolExecutor: 1 of 3 (of at most 4) processes busy\n",
	} {
		assert.Contains(t, text, part)
	}
	assert.NotContains(t, text, "(21)", "a thread of a pool is counted there")
	assert.Contains(t, dumpText(t, d, Options{Verbose: true}), "(21)")

	d.Processes, d.Processes[0].Deadlocks = d.Processes[:1], nil
	first, _, _ := strings.Cut(dumpText(t, d, Options{}), "\n")
	assert.Equal(t, short+"; no loop is blocked", first)
}

func TestDumpAnswersFirst(t *testing.T) {
	first, rest, _ := strings.Cut(dumpText(t, withoutWaits(), Options{}), "\n")
	assert.Equal(t, "1 of 3 loops blocked now; longest 3.2 s in fetch app.py:35 (net, tcp 10.0.0.1:443), in app.py[10]", first)
	at := func(s string) int {
		i := strings.Index(rest, s)
		require.GreaterOrEqual(t, i, 0, s)
		return i
	}
	assert.Less(t, at("app.py[10]"), at("active.py[30]"), "blocked first")
	assert.Less(t, at("active.py[30]"), at("idle.py[20]"))
	assert.Contains(t, rest, "├─ Task-2  fetch app.py:35\n")
	assert.Contains(t, rest, "Task-100 and 99 more at the same place  worker w.py:1")
	assert.Contains(t, rest, "└─ circle  fetch")
	assert.Contains(t, rest, "   └─ circle too  fetch")
	assert.Contains(t, rest, "alone  fetch", "tasks that wait for one another have no root")
	assert.Contains(t, rest, "active, since when is not known")
	assert.Contains(t, rest, "1 stack that changed while being read: two moments may be mixed")

	d := withoutWaits()
	d.Processes = d.Processes[:1]
	first, _, _ = strings.Cut(dumpText(t, d, Options{}), "\n")
	assert.Equal(t, "No loop is blocked now: the one loop is idle.", first)
	first, _, _ = strings.Cut(dumpText(t, &model.Dump{}, Options{}), "\n")
	assert.Equal(t, "No Python process is here.", first)
}

func TestDumpOfManyIsShort(t *testing.T) {
	d := &model.Dump{}
	for i := range 200 {
		p := withoutWaits().Processes[0]
		p.PID = 1000 + i
		d.Processes = append(d.Processes, p)
	}
	assert.Less(t, strings.Count(dumpText(t, d, Options{}), "\n"), 40)
	assert.Greater(t, strings.Count(dumpText(t, d, Options{Verbose: true}), "\n"), 200*100)
}

// TestDumpHostileNames: nothing a process has made reaches a terminal as it is, and no line is longer than the screen.
func TestDumpHostileNames(t *testing.T) {
	for _, s := range []string{"\x1b[31mred\x1b]0;title\x07", "a\nb\rc", "\u202egnp.exe", strings.Repeat("x", 1<<20), "\xff\xfe", "<script>&\"'", "\u200b\u0301\u0301\u0301\u0301\u0301\u0301"} {
		for _, width := range []int{0, 80, 200} {
			text := dumpText(t, reporttest.Dump(s), Options{Width: width})
			for line := range strings.Lines(text) {
				for _, r := range strings.TrimSuffix(line, "\n") {
					require.False(t, r < ' ' || r == 0x7f || r == '\u202e' || r == '\u200b', "%q in %q", r, line)
				}
				if width == 0 {
					require.Less(t, len(line), 64<<10)
				}
			}
		}
	}
}

// The middle of what a task awaits gives way to the place it stands at and to its own coroutine.
func TestPlaces(t *testing.T) {
	task := &model.DumpTask{}
	for n := 1; n <= 5; n++ { // innermost first
		task.Frames = append(task.Frames, model.Frame{Function: fmt.Sprint("f", n), File: "/a.py", Line: n})
	}
	assert.Equal(t, "f5 a.py:5 → f4 a.py:4 → f3 a.py:3 → f2 a.py:2 → f1 a.py:1", placesOf(task, 5))
	assert.Equal(t, "f5 a.py:5 → f4 a.py:4 → … → f2 a.py:2 → f1 a.py:1", placesOf(task, 4))
	assert.Equal(t, "f5 a.py:5 → … → f2 a.py:2 → f1 a.py:1", placesOf(task, 3))
	assert.Equal(t, "f5 a.py:5 → … → f1 a.py:1", placesOf(task, 2))
	assert.Empty(t, placesOf(&model.DumpTask{}, 2))
}
