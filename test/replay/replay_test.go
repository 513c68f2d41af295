// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/cpython/release"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/replay"
	"github.com/loopwatch/loopwatch/test/judge"
	"github.com/loopwatch/loopwatch/test/truth"
)

// committed is where the recordings are that "make recordings" makes.
const committed = "testdata"

// otherEnv names a directory with recordings of one's own. Beside NAME.zst there is NAME.log (test/judge) or the report
// written with it, NAME.json (report --record NAME.zst --format json --output NAME.json), or both.
const otherEnv = "LOOPWATCH_REPLAY"

// TestReplay judges every recording again, and fails where it comes out worse than it did live.
func TestReplay(t *testing.T) {
	dirs := []string{committed}
	if other := os.Getenv(otherEnv); other != "" {
		dirs = append(dirs, other)
	}
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.zst"))
		require.NoError(t, err)
		require.NotEmpty(t, files, "%s has no recordings", dir)
		for _, file := range files {
			t.Run(filepath.Base(file), func(t *testing.T) { judgeAgain(t, file) })
		}
	}
}

func judgeAgain(t *testing.T, file string) {
	rep, err := File(file)
	if errors.Is(err, replay.ErrForeign) {
		t.Skip(err)
	}
	require.NoError(t, err)
	programs, noLog := programsOf(file)
	written, noReport := reportOf(file)
	for _, err := range []error{noLog, noReport} {
		if err != nil {
			require.ErrorIs(t, err, fs.ErrNotExist)
		}
	}
	require.False(t, noLog != nil && noReport != nil, "nothing beside %s says what is in it", file)
	for i := range programs {
		p := &programs[i]
		out := p.Judge(rep, judge.Seen(p.Unplanned))
		t.Logf("%s/%s: %d blocks expected, %d complaints, %d when it was recorded", p.Python, p.Loop, out.Expected, len(out.Complaints), p.Complaints)
		all := strings.Join(out.Complaints, "\n")
		assert.Positive(t, out.Expected, "%s/%s", p.Python, p.Loop)
		assert.Zero(t, out.Missed, "%s/%s: blocks missed\n%s", p.Python, p.Loop, all)
		assert.Zero(t, out.FalseAlarms, "%s/%s: false alarms\n%s", p.Python, p.Loop, all)
		assert.LessOrEqual(t, len(out.Complaints), p.Complaints, "%s/%s: complaints\n%s", p.Python, p.Loop, all)
	}
	if written != nil {
		want, err := Plain(written.Blocks)
		require.NoError(t, err)
		got, err := Plain(rep.Blocks)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
}

// programsOf reads the log beside a recording.
func programsOf(file string) ([]judge.Program, error) {
	f, err := os.Open(strings.TrimSuffix(file, ".zst") + ".log")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return judge.ReadPrograms(f)
}

// reportOf reads the report beside a recording.
func reportOf(file string) (*model.Report, error) {
	text, err := os.ReadFile(strings.TrimSuffix(file, ".zst") + ".json")
	if err != nil {
		return nil, err
	}
	rep := new(model.Report)
	return rep, json.Unmarshal(text, rep)
}

// TestRecordingOfEverything demands a recording of a block by every cause, on every kind of loop and on every release.
func TestRecordingOfEverything(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(committed, "*.zst"))
	require.NoError(t, err)
	causes, loops, releases := map[model.Cause]int{}, map[string]int{}, map[int]int{}
	for _, file := range files {
		programs, err := programsOf(file)
		require.NoError(t, err)
		for _, p := range programs {
			blocks := 0
			for _, e := range p.Log {
				if e.Event == "" && float64(e.DurationNS()) >= judge.MustFind*float64(p.ThresholdNS) {
					causes[e.Causes[0]]++
					blocks++
				}
			}
			var minor int
			_, err := fmt.Sscanf(p.Version, "3.%d.", &minor)
			require.NoError(t, err, p.Version)
			releases[minor] += blocks
			loops[truth.Loops[p.Loop]] += blocks
		}
	}
	for _, cause := range model.Causes() {
		assert.NotZero(t, causes[cause], "no recording has a block by %s", cause)
	}
	for _, kind := range eventloop.Kinds() {
		if kind == eventloop.Curio {
			continue // it is not in Debian, where the recordings are made
		}
		assert.NotZero(t, loops[string(kind)], "no recording has a block of %s", kind)
	}
	oldest, newest := release.Supported()
	for minor := oldest; minor <= newest; minor++ {
		assert.NotZero(t, releases[minor], "no recording has a block of Python 3.%d", minor)
	}
}

// TestNothingElseIsCommitted: a log without its recording is not judged, and would go unnoticed.
func TestNothingElseIsCommitted(t *testing.T) {
	entries, err := os.ReadDir(committed)
	require.NoError(t, err)
	for _, e := range entries {
		switch name := e.Name(); filepath.Ext(name) {
		case ".zst":
			assert.FileExists(t, filepath.Join(committed, strings.TrimSuffix(name, ".zst")+".log"))
		case ".log":
			assert.FileExists(t, filepath.Join(committed, strings.TrimSuffix(name, ".log")+".zst"))
		default:
			assert.Fail(t, "not a recording", name)
		}
	}
}
