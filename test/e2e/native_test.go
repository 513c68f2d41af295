// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	_ "embed"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/test/judge"
)

//go:embed testdata/native.py
var nativeProgram string

//go:embed testdata/views.pyx
var cythonSource string

// lastOfCython is the newest release 3.x that Debian's Cython makes code for.
const lastOfCython = 11

// TestNativeFunctions: native code is named by function, of what Cython compiled as the source calls it. The line to blame
// stays the one of Python that called it.
func TestNativeFunctions(t *testing.T) {
	source := compileCython(t)
	w := watch(t, "--duration", "1h")
	expected, named := 0, 0
	logs := make(map[string][]placed)
	for _, python := range testpython.All(t) {
		if !python.Supported() || python.Minor > lastOfCython || python.Root != "" {
			continue
		}
		script := python.Script(t, "native.py", nativeProgram)
		compileC(t, python, source, filepath.Join(filepath.Dir(script), "shop"))
		command := python.Command(script, seconds(3*usualThreshold()/2))
		command.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // for prefer
		program := testpython.Start(t, command)
		require.NoError(t, prefer(program.PID))
		for line := range strings.Lines(program.ReadAll(t)) {
			var said placed
			require.NoError(t, json.Unmarshal([]byte(line), &said))
			logs[python.Name] = append(logs[python.Name], said)
			expected++
		}
	}
	rep := w.stop(t)
	for name, log := range logs {
		for _, said := range log {
			b := blockOf(rep, said)
			if !assert.NotNil(t, b, "%s: missed a block of %s", name, *said.Function) {
				continue
			}
			what := judge.Describe(b.Culprit) + "\n" + judge.StacksOf(b)
			if b.Detail.Native != "" {
				named++
				assert.Equal(t, said.Native, b.Detail.Native, "%s: %s", name, what)
			}
			if b.BreakdownNS[model.CauseRunqueue] > b.DurationNS/3 {
				continue // the machine had no CPU for it
			}
			assert.Equal(t, model.CauseNative, b.Cause, "%s: %s", name, what)
			assert.Equal(t, said.Native, b.Detail.Native, "%s: %s", name, what)
			if assert.NotNil(t, b.Culprit, "%s: %s", name, what) {
				assert.Equal(t, *said.Function, b.Culprit.Function, "%s: %s", name, what)
			}
		}
	}
	t.Logf("%d blocks, %d of them with native code", expected, named)
	assert.NotZero(t, named)
}

// blockOf returns the block that a program logged, nil where there is none.
func blockOf(rep *model.Report, said placed) *model.Block {
	blocks := judge.BlocksOf(rep, said.PID)
	n := slices.IndexFunc(blocks, func(b model.Block) bool {
		return 2*judge.Overlap(b.StartNS, b.StartNS+b.DurationNS, said.StartNS, said.EndNS) >= said.EndNS-said.StartNS
	})
	if n < 0 {
		return nil
	}
	return &blocks[n]
}

// compileCython makes C of a module called shop.views, and returns the file.
func compileCython(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "shop")
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "__init__.py"), nil, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "views.pyx"), []byte(cythonSource), 0o644))
	out, err := exec.Command("cython3", filepath.Join(dir, "views.pyx")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return filepath.Join(dir, "views.c")
}

// compileC makes an extension of it for an interpreter of this machine, in a package that it makes.
func compileC(t *testing.T, python testpython.Interp, source, dir string) {
	t.Helper()
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "__init__.py"), nil, 0o644))
	out, err := python.Command("-c", "import sysconfig as s; print(s.get_path('include'), s.get_config_var('EXT_SUFFIX'))").Output()
	require.NoError(t, err)
	about := strings.Fields(string(out))
	require.Len(t, about, 2)
	out, err = exec.Command("gcc", "-O2", "-w", "-shared", "-fPIC", "-I"+about[0], "-o", filepath.Join(dir, "views"+about[1]), source).CombinedOutput()
	require.NoError(t, err, "%s", out)
}
