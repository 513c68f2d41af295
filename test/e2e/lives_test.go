// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	_ "embed"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/test/judge"
)

//go:embed testdata/lives.py
var livesProgram string

// TestMainThreadEnds: a process goes on without its main thread, and so does watching it, whether loopwatch was there
// before or not. A thread that calls exec takes the place of the main one: its process goes on, too.
func TestMainThreadEnds(t *testing.T) {
	for _, python := range releases(few(t)) {
		t.Run(python.Name, func(t *testing.T) {
			lives := python.Script(t, "lives.py", livesProgram)
			for _, how := range []string{"leader", "exec"} {
				t.Run(how, func(t *testing.T) {
					before := testpython.Start(t, python.Command("-c", "import sys; sys.stdin.readline(); sys.argv[1:] = ['"+how+"']; "+
						"__file__ = '"+lives+"'; exec(compile(open(__file__).read(), __file__, 'exec'))"))
					after := testpython.Start(t, python.Command(lives, how))
					ready(t, after, how)
					w := watch(t, "--pid", itoa(before.PID), "--pid", itoa(after.PID), "--duration", "1h")
					fmt.Fprintln(before.Stdin)
					ready(t, before, how)
					for _, p := range []*testpython.Program{before, after} {
						fmt.Fprintln(p.Stdin)
						require.Equal(t, "done", p.ReadLine(t))
					}
					rep := w.stop(t)
					for name, p := range map[string]*testpython.Program{"before": before, "after": after} {
						held := heldOf(rep, p.PID)
						require.Len(t, held, 1, "%s\n%v", name, rep)
						assert.Equal(t, model.CauseSleep, held[0].Cause, name)
					}
				})
			}
		})
	}
}

// ready waits until the loop of a program runs, and its main thread has ended where it is to.
func ready(t *testing.T, p *testpython.Program, how string) {
	t.Helper()
	require.Equal(t, "ready", p.ReadLine(t))
	if how == "leader" {
		require.Eventually(t, func() bool { return strings.HasPrefix(statusOf(p.PID).state(), "Z") }, patience, time.Millisecond)
	}
}

// heldOf returns the blocks of a process that hold is to blame for.
func heldOf(rep *model.Report, pid int) (out []model.Block) {
	for _, b := range judge.BlocksOf(rep, pid) {
		if b.Culprit != nil && b.Culprit.Function == "hold" {
			out = append(out, b)
		}
	}
	return out
}

// TestMapsKeepTheLiving: what the kernel side keeps of processes and threads goes with them.
func TestMapsKeepTheLiving(t *testing.T) {
	before := kernelObjects(t)
	python := onHost(t, "asyncio")
	short := python.Script(t, "short.py", "import asyncio\nasyncio.run(asyncio.sleep(0))\n")
	killed := python.Script(t, "killed.py", "import asyncio, os\nasyncio.get_event_loop_policy().new_event_loop().call_soon(os.kill, os.getpid(), 9)\n"+
		"async def main():\n    await asyncio.sleep(0)\n    os.kill(os.getpid(), 9)\nasyncio.run(main())\n")
	churn := fmt.Sprintf("for i in $(seq 400); do /bin/true; done; for i in $(seq 20); do %s %s & %s %s & wait; done; sleep 1000", python.Path, short, python.Path, killed)
	cmd := runOf([]string{"-o", "/dev/null"}, "sh", "-c", churn)
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL); _ = cmd.Wait() })
	require.Eventually(t, func() bool {
		out, err := exec.Command("pgrep", "-g", itoa(cmd.Process.Pid), "-x", "sleep").Output()
		return err == nil && len(out) > 0
	}, 5*patience, 50*time.Millisecond, "the processes that live for a moment have not all run")

	var maps map[string]*ebpf.Map
	assert.Eventually(t, func() bool {
		maps = mapsOfOne(t, before)
		return len(deadKeys(t, maps)) == 0
	}, patience, 500*time.Millisecond, "the dead stay: %v", deadKeys(t, maps))
	require.Contains(t, maps, "wanted")
	assert.Less(t, len(keysOf(t, maps["wanted"])), 10, "the shell, what it runs now, and loopwatch's own")
}

// mapsOfOne returns the maps that are there since, by the names the kernel has for them.
func mapsOfOne(t *testing.T, before map[object]bool) map[string]*ebpf.Map {
	t.Helper()
	out := make(map[string]*ebpf.Map)
	for o := range kernelObjects(t) {
		if o.kind != "map" || before[o] {
			continue
		}
		m, err := ebpf.NewMapFromID(ebpf.MapID(o.id))
		if err != nil {
			continue // gone meanwhile
		}
		t.Cleanup(func() { m.Close() })
		if info, err := m.Info(); err == nil {
			out[info.Name] = m
		}
	}
	return out
}

// deadKeys lists the entries of maps of processes and threads whose process or thread has ended.
func deadKeys(t *testing.T, maps map[string]*ebpf.Map) (out []string) {
	t.Helper()
	for _, name := range []string{"threads", "configs", "processes", "wanted"} {
		if maps[name] == nil {
			continue
		}
		for _, id := range keysOf(t, maps[name]) {
			if unix.Kill(int(id), 0) == unix.ESRCH {
				out = append(out, fmt.Sprintf("%s: %d", name, id))
			}
		}
	}
	return out
}

func keysOf(t *testing.T, m *ebpf.Map) (out []uint32) {
	t.Helper()
	var key uint32
	for err := m.NextKey(nil, &key); err == nil; err = m.NextKey(key, &key) {
		out = append(out, key)
		require.Less(t, len(out), 1<<16, "the map goes on")
	}
	return out
}
