// SPDX-License-Identifier: Apache-2.0

package dump

import (
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/testpython"
)

func TestMain(m *testing.M) { testpython.Main(m) }

// TestPstree holds the tasks of a dump against those of CPython's own "python -m asyncio pstree" (3.14 and later): the
// same tasks, by the same names, at the same lines, with the same waits.
func TestPstree(t *testing.T) {
	seen := 0
	for _, py := range testpython.All(t) {
		if py.Minor < 14 {
			continue
		}
		seen++
		for _, loop := range []string{"asyncio", "uvloop"} {
			t.Run(py.Name+"/"+loop, func(t *testing.T) {
				if loop == "uvloop" && py.Command("-c", "import uvloop").Run() != nil {
					t.Skip("uvloop is not installed for " + py.Name)
				}
				comparePstree(t, py, loop)
			})
		}
	}
	if seen == 0 {
		t.Skip("no Python 3.14 or later on this machine")
	}
}

func comparePstree(t *testing.T, py testpython.Interp, loop string) {
	waiting, err := os.ReadFile("../asyncio/testdata/waiting.py")
	require.NoError(t, err)
	driver, err := os.ReadFile("testdata/pstree.py")
	require.NoError(t, err)
	cmd := py.Command(py.Script(t, "pstree.py", string(driver)), py.Script(t, "waiting.py", string(waiting)), loop)
	if py.Root != "" {
		// CPython looks at /proc, which a tree has none of: it gets one in a mount namespace of its own.
		inside := append([]string{"-c", `mount -t proc proc "$0/proc" && exec chroot "$0" "$@"`, py.Root}, cmd.Args...)
		cmd = exec.Command("unshare", append([]string{"--mount", "sh"}, inside...)...)
		cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	}
	program := testpython.Start(t, cmd)
	pid, err := strconv.Atoi(program.ReadLine(t))
	require.NoError(t, err)
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })

	d, refused, err := Take(t.Context(), Options{PIDs: []int{pid}})
	require.NoError(t, err)
	require.Empty(t, refused)
	_, err = program.Stdin.Write([]byte("\n"))
	require.NoError(t, err)
	var want map[string]struct {
		Name      string
		Stack     [][3]any
		AwaitedBy []string `json:"awaited_by"`
	}
	require.NoError(t, json.Unmarshal([]byte(program.ReadLine(t)), &want))
	var lines int
	require.NoError(t, json.Unmarshal([]byte(program.ReadLine(t)), &lines))

	require.Len(t, d.Processes, 1)
	require.Len(t, d.Processes[0].Loops, 1)
	l := d.Processes[0].Loops[0]
	assert.Equal(t, loop, l.Loop)
	assert.Equal(t, model.StateIdle, l.State)
	require.Greater(t, len(want), 25, "CPython sees hardly any task")
	awaitedBy := map[string][]string{}
	for _, task := range l.Tasks {
		for _, id := range task.Awaits {
			awaitedBy[id] = append(awaitedBy[id], task.ID)
		}
	}
	waits := 0
	for _, task := range l.Tasks {
		w, ok := want[task.ID]
		if !assert.True(t, ok, "CPython does not see %s", task.Name) {
			continue
		}
		if !strings.Contains(task.Name, "ö") { // CPython reads the names of tasks as ASCII
			assert.Equal(t, w.Name, task.Name)
		}
		var stack [][3]any
		for _, f := range task.Frames {
			stack = append(stack, [3]any{f.Function, f.File, float64(f.Line)})
		}
		if task.Name == "old_style" { // CPython stops at coroutines that are generators
			require.Len(t, stack, 3)
			stack = stack[2:]
		}
		assert.Equal(t, w.Stack, stack, task.Name)
		by := append([]string{}, awaitedBy[task.ID]...)
		slices.Sort(by)
		assert.Equal(t, w.AwaitedBy, by, "who awaits %s", task.Name)
		waits += len(by)
	}
	assert.Len(t, l.Tasks, len(want))
	assert.Greater(t, waits, 12)
	assert.GreaterOrEqual(t, lines, len(want), "tasks in its tree, in which a task that several await is repeated")
}
