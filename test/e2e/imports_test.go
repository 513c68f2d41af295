// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/test/judge"
	"github.com/loopwatch/loopwatch/test/truth"
)

// TestImportsOneAfterAnother imports modules that take each other's place in memory: what of a block is
// named too late may have no name, but never that of another module.
func TestImportsOneAfterAnother(t *testing.T) {
	for _, python := range newestAndOldest(t) {
		t.Run(python.Name, func(t *testing.T) {
			threshold := usualThreshold() / 2
			stage := newStage(t).traced(t)
			stage.install(t, python)
			p, err := stage.start(python, truth.Importing, seconds(threshold), "4", "module_sleeps", "siblings_sleep", "long_deep_module_sleeps")
			require.NoError(t, err)
			t.Cleanup(p.kill)
			require.NoError(t, p.ready())
			w := watch(t, "--threshold", threshold.String(), "--duration", "1h")
			log, err := p.play()
			require.NoError(t, err)
			blocks := judge.BlocksOf(w.stop(t), p.pid())
			v := judge.Blocks(threshold, log, blocks, stage.waits)
			assert.Equal(t, v.Expected, v.Found, "%v", v.Complaints)
			assert.Equal(t, v.Found, v.Cause, "%v", v.Complaints)
			pairs := 0
			for _, b := range blocks {
				for _, s := range b.Stacks {
					pairs += checkImporters(t, filepath.Join("/", python.Root), s.Frames)
				}
			}
			assert.Positive(t, pairs, "a module and who imports it")
		})
	}
}

// newestAndOldest picks two interpreters of the machine's own.
func newestAndOldest(t *testing.T) []testpython.Interp {
	t.Helper()
	all := testpython.All(t)
	if len(all) == 1 {
		return all
	}
	return []testpython.Interp{all[0], all[len(all)-1]}
}

// checkImporters looks in the source of each module on a stack that imports the next: the line must name
// it. It returns how many it could look at.
func checkImporters(t *testing.T, root string, frames []model.Frame) (pairs int) {
	t.Helper()
	var inner *model.Frame // the next module inwards, nil where a frame between them has no name
	for i := range frames {
		f := &frames[i]
		switch {
		case strings.HasPrefix(f.File, "<frozen importlib"):
			continue
		case !strings.HasPrefix(filepath.Base(f.File), "slow_"):
			inner = nil
			continue
		}
		if inner != nil && inner.File != f.File {
			source, err := os.ReadFile(filepath.Join(root, f.File))
			require.NoError(t, err)
			lines := strings.Split(string(source), "\n")
			require.Less(t, f.Line, len(lines))
			require.Positive(t, f.Line)
			assert.Equal(t, "import "+strings.TrimSuffix(filepath.Base(inner.File), ".py"), lines[f.Line-1], "%s:%d", f.File, f.Line)
			pairs++
		}
		inner = f
	}
	return pairs
}
