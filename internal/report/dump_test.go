// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
)

func ns(v int64) *int64 { return &v }

// aDump has one loop that is blocked, one that is idle and has tasks, and one that is active; every name is s.
func aDump(s string) *model.Dump {
	f := model.Frame{Function: "fetch" + s, File: "/srv/" + s + "/app.py", Line: 35, App: true}
	idle := model.DumpLoop{DumpThread: model.DumpThread{TID: 20, Thread: s, State: model.StateIdle, ForNS: ns(5e9)}, Loop: "asyncio"}
	idle.Tasks = []model.DumpTask{
		{ID: "0x1", Name: "root" + s, Frames: []model.Frame{f}, Awaits: []string{"0x2", "0x3"}},
		{ID: "0x2", Name: "Task-2" + s, Frames: []model.Frame{f}},
		{ID: "0x3", Name: "circle" + s, Frames: []model.Frame{f}, Awaits: []string{"0x4"}},
		{ID: "0x4", Name: "circle too" + s, Frames: []model.Frame{f}, Awaits: []string{"0x3"}},
		{ID: "0x5", Name: "alone" + s, Frames: []model.Frame{f}, Awaits: []string{"0x6"}},
		{ID: "0x6", Name: "alone too" + s, Frames: []model.Frame{f}, Awaits: []string{"0x5"}},
	}
	for i := range 100 {
		idle.Tasks = append(idle.Tasks, model.DumpTask{ID: fmt.Sprintf("0x1%03d", i), Name: fmt.Sprintf("Task-%d", 100+i), Frames: []model.Frame{{Function: "worker", File: "w.py", Line: 1}}})
	}
	blocked := model.DumpThread{TID: 10, Thread: s, State: model.StateBlocked, ForNS: ns(3.2e9), Cause: model.CauseNet, Culprit: &f, Leaf: &f, Frames: []model.Frame{f},
		Detail: model.Detail{Syscall: "recvfrom", Target: "tcp 10.0.0.1:443" + s}}
	active := model.DumpThread{TID: 30, Thread: s, State: model.StateActive, Cause: model.CauseCPU, Culprit: &f, Frames: []model.Frame{f}}
	return &model.Dump{TakenAt: "2026-11-27T10:00:00Z", Processes: []model.DumpProcess{
		{PID: 20, Command: "idle.py" + s, Python: "3.14.0", Loops: []model.DumpLoop{idle}},
		{PID: 10, Command: "python3 app.py" + s, Python: "3.14.0", Container: s, Loops: []model.DumpLoop{{DumpThread: blocked, Loop: "asyncio", Task: s}},
			Threads: []model.DumpThread{{TID: 11, Thread: "other" + s, State: model.StateRunning, Frames: []model.Frame{f}, Torn: true}}, GIL: []model.DumpGIL{{TID: 11, Thread: s}}},
		{PID: 30, Command: "active.py" + s, Loops: []model.DumpLoop{{DumpThread: active, Loop: "uvloop"}}},
	}, Lost: map[string]int64{"stacks_torn": 1}, Unsupported: []model.Unsupported{{PID: 4, Command: s, Reason: s}}}
}

func dumpText(t *testing.T, d *model.Dump, o TextOptions) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, WriteDumpText(&b, d, o))
	return b.String()
}

func TestDumpAnswersFirst(t *testing.T) {
	first, rest, _ := strings.Cut(dumpText(t, aDump(""), TextOptions{}), "\n")
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

	d := aDump("")
	d.Processes = d.Processes[:1]
	first, _, _ = strings.Cut(dumpText(t, d, TextOptions{}), "\n")
	assert.Equal(t, "No loop is blocked now: the one loop is idle.", first)
	first, _, _ = strings.Cut(dumpText(t, &model.Dump{}, TextOptions{}), "\n")
	assert.Equal(t, "No Python process is here.", first)
}

func TestDumpOfManyIsShort(t *testing.T) {
	d := &model.Dump{}
	for i := range 200 {
		p := aDump("").Processes[0]
		p.PID = 1000 + i
		d.Processes = append(d.Processes, p)
	}
	assert.Less(t, strings.Count(dumpText(t, d, TextOptions{}), "\n"), 40)
	assert.Greater(t, strings.Count(dumpText(t, d, TextOptions{Verbose: true}), "\n"), 200*100)
}

// TestDumpHostileNames: nothing a process has made reaches a terminal as it is, and no line is longer than the screen.
func TestDumpHostileNames(t *testing.T) {
	for _, s := range []string{"\x1b[31mred\x1b]0;title\x07", "a\nb\rc", "\u202egnp.exe", strings.Repeat("x", 1<<20), "\xff\xfe", "<script>&\"'", "\u200b\u0301\u0301\u0301\u0301\u0301\u0301"} {
		for _, width := range []int{0, 80, 200} {
			text := dumpText(t, aDump(s), TextOptions{Width: width})
			for line := range strings.Lines(text) {
				for _, r := range strings.TrimSuffix(line, "\n") {
					require.False(t, r < ' ' || r == 0x7f || r == '\u202e' || r == '\u200b', "%q in %q", r, line)
				}
				if width == 0 {
					require.Less(t, len(line), 64<<10)
				}
			}
		}
		var b bytes.Buffer
		require.NoError(t, WriteDumpJSON(&b, aDump(s)))
		require.True(t, utf8.Valid(b.Bytes()))
		var back model.Dump
		require.NoError(t, json.Unmarshal(b.Bytes(), &back))
		require.Equal(t, model.SchemaDump, back.Schema)
		require.NotContains(t, b.String(), "\x1b")
		require.LessOrEqual(t, len(back.Processes[0].Command), 4<<10)
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
