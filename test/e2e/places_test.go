// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	_ "embed"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/test/judge"
)

//go:embed testdata/places.py
var placesProgram string

// placed is a block as places.py logs it.
type placed struct {
	StartNS  int64         `json:"start_ns"`
	EndNS    int64         `json:"end_ns"`
	Function *string       `json:"function"` // nil: no line is to blame
	File     string        `json:"file"`     // its file and line, where they count
	Line     int           `json:"line"`
	Causes   []model.Cause `json:"causes"`
	Holder   string        `json:"holder"`
	Called   string        `json:"called"` // what the loop called itself
	// Scheduled is the function that scheduled that, where debug mode keeps it.
	Scheduled string `json:"scheduled"`
	Native    string `json:"native"` // the native code, by function
	PID       int    `json:"pid"`
}

// placesShapes are the shapes of places.py.
var placesShapes = []string{"script", "thread", "spawn", "framework", "source", "module", "builtin", "debug", "own", "slices", "uvloop", "subinterpreter", "import", "template"}

// TestPlaces: blocks that are easily blamed on the wrong line, since the application is installed like a library, no line of
// it stands inside the loop, or the loop is not where one looks.
func TestPlaces(t *testing.T) {
	pythons := slices.DeleteFunc(testpython.All(t), func(p testpython.Interp) bool { return !p.Supported() })
	expected := make(map[string]int)
	var calls, schedules placedCalls
	for len(pythons) > 0 {
		n := min(3, len(pythons))
		w := watch(t, "--duration", "1h")
		logs := make(map[string][]placed) // by shape and interpreter
		type run struct {
			shape string
			*testpython.Program
			python testpython.Interp
		}
		for shapes := range slices.Chunk(placesShapes, 4) {
			var runs []run
			for _, python := range pythons[:n] {
				script := python.Script(t, "places.py", placesProgram)
				addPackages(t, filepath.Join("/", python.Root, filepath.Dir(script), "site-packages"))
				for _, shape := range shapes {
					runs = append(runs, run{shape, testpython.Start(t, python.Command(script, shape, seconds(3*usualThreshold()/2))), python})
				}
			}
			for _, r := range runs {
				name := r.shape + " under " + r.python.Name
				for line := range strings.Lines(r.ReadAll(t)) {
					var said placed
					require.NoError(t, json.Unmarshal([]byte(line), &said), name)
					logs[name] = append(logs[name], said)
				}
				expected[r.shape] += len(logs[name])
			}
		}
		rep := w.stop(t)
		for name, log := range logs {
			judgePlaces(t, rep, name, log, &calls, &schedules)
		}
		pythons = pythons[n:]
	}
	for _, shape := range placesShapes {
		assert.NotZero(t, expected[shape], shape)
	}
	t.Logf("blocks by shape: %v; calls of the loop's: %+v, where they were scheduled: %+v", expected, calls, schedules)
	for _, c := range []placedCalls{calls, schedules} {
		assert.Zero(t, c.wrong)
		assert.GreaterOrEqual(t, 2*c.named, c.made, "on a machine with much to do the call has ended when it is read")
	}
}

// placedCalls are the functions of C that a loop called itself, and how many of them were named.
type placedCalls struct{ made, named, wrong int }

func (c *placedCalls) judge(made, seen string) {
	if made == "" {
		return
	}
	c.made++
	switch seen {
	case made:
		c.named++
	case "":
	default:
		c.wrong++
	}
}

// addPackages copies packages of this machine that compile templates, without what is not Python, to where an interpreter of
// another release finds them.
func addPackages(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"jinja2", "markupsafe", "mako", "tornado"} {
		from := filepath.Join("/usr/lib/python3/dist-packages", name)
		require.NoError(t, filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
			to := filepath.Join(dir, name, strings.TrimPrefix(path, from))
			switch {
			case err != nil:
				return err
			case entry.IsDir():
				return os.MkdirAll(to, 0o755)
			case filepath.Ext(path) != ".py":
				return nil
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(to, text, 0o644)
		}))
	}
}

// judgePlaces holds a report against what a program logged.
func judgePlaces(t *testing.T, rep *model.Report, name string, log []placed, calls, schedules *placedCalls) {
	t.Helper()
	for _, said := range log {
		b := blockOf(rep, said)
		if !assert.NotNil(t, b, "%s: missed a block of %v", name, time.Duration(said.EndNS-said.StartNS)) {
			continue
		}
		if b.Cause == model.CauseRunqueue && b.BreakdownNS[model.CauseRunqueue] > b.DurationNS/3 {
			continue // the machine had no CPU for it
		}
		what := judge.Describe(b.Culprit) + "\n" + judge.StacksOf(b)
		assert.Contains(t, said.Causes, b.Cause, "%s: %s", name, what)
		calls.judge(said.Called, b.Detail.Called)
		if at := b.Detail.Scheduled; at == nil {
			schedules.judge(said.Scheduled, "")
		} else {
			assert.True(t, said.Scheduled == "" || at.App && at.Line > 0, "%s: scheduled by %v", name, at)
			schedules.judge(said.Scheduled, at.Function)
		}
		if said.Function == nil {
			assert.Nil(t, b.Culprit, "%s: %s", name, what)
		} else if assert.NotNil(t, b.Culprit, "%s: %s", name, what) {
			assert.Equal(t, *said.Function, b.Culprit.Function, "%s: %s", name, what)
			if said.File != "" {
				assert.Equal(t, model.Frame{Function: *said.Function, File: said.File, Line: said.Line, App: true}, *b.Culprit, "%s: %s", name, what)
			}
		}
		if said.Holder != "" && b.BreakdownNS[model.CauseRunqueue] > b.DurationNS/20 {
			continue // what was waited for may have come between two slices
		}
		if said.Holder != "" && assert.NotNil(t, b.Detail.Holder, "%s: %s", name, what) {
			assert.True(t, slices.ContainsFunc(b.Detail.Holder.Frames, func(f model.Frame) bool { return f.Function == said.Holder }), "%s: %v", name, b.Detail.Holder)
		}
	}
}
