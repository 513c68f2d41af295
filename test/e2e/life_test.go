// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/syscalls"
	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/test/judge"
	"github.com/loopwatch/loopwatch/test/truth"
)

// These tests are about loopwatch's and the programs' lives; one interpreter will do.

// sleeper starts a program that blocks its loop once, in time.sleep and for more than the
// threshold (seconds), as soon as its stdin is closed.
func sleeper(t *testing.T, python testpython.Interp, threshold string) *program {
	t.Helper()
	p := newStage(t).traced(t).run(t, python, truth.Blocking, "asyncio", "--threshold", threshold, "--kind", "sleeping", "--over", "1", "--under", "0")
	require.NoError(t, p.ready())
	return p
}

// block has a sleeper begin its block and waits until it sleeps.
func (p *program) block(t *testing.T) {
	t.Helper()
	require.NoError(t, p.stdin.Close())
	asleepIn(t, p.pid(), p.pid(), sleepCalls...)
}

// sleepCalls are those that time.sleep makes, by release.
var sleepCalls = []string{"clock_nanosleep", "select", "pselect6"}

// asleepIn waits until a thread of a process sleeps in one of these calls.
func asleepIn(t *testing.T, pid, tid int, names ...string) {
	t.Helper()
	watched, err := process.Open(pid)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		call, err := watched.Syscall(tid)
		return err == nil && call.Number >= 0 && slices.Contains(names, syscalls.Lookup(call.Number).Name)
	}, patience, time.Millisecond, "thread %d does not sleep in %v", tid, names)
}

// unexplained returns the blocks reported of a program, but for those that ended and that the kernel's trace
// shows, too: a busy machine makes some that no program plans.
func (p *program) unexplained(rep *model.Report) []model.Block {
	return slices.DeleteFunc(judge.BlocksOf(rep, p.pid()), func(b model.Block) bool {
		return p.waits.saw(b.TID, b.StartNS, b.StartNS+b.DurationNS)
	})
}

// sleeping asserts that b is the block of a sleeper.
func sleeping(t *testing.T, b model.Block) {
	t.Helper()
	require.NotNil(t, b.Culprit, "%s", judge.StacksOf(&b))
	assert.Equal(t, "sleeping", b.Culprit.Function, "%s", judge.StacksOf(&b))
	assert.Equal(t, model.CauseSleep, b.Cause, "%v", b.BreakdownNS)
}

func newest(t *testing.T) testpython.Interp {
	t.Helper()
	all := testpython.All(t)
	return all[len(all)-1]
}

// TestLoopThereBefore: a loop at rest since before the start is found by the scan alone.
func TestLoopThereBefore(t *testing.T) {
	for _, python := range few(t) {
		t.Run(python.Name, func(t *testing.T) {
			p := sleeper(t, python, seconds(usualThreshold()))
			w := watch(t, "--pid", itoa(p.pid()), "--duration", "1h")
			log, err := p.play()
			require.NoError(t, err)
			v := judge.Blocks(usualThreshold(), log, judge.BlocksOf(w.stop(t), p.pid()), p.waits)
			assert.Equal(t, 1, v.Right, v.Summary())
			assert.Empty(t, v.Complaints)
		})
	}
}

// TestKilledInBlock: what is known of a block survives the process.
func TestKilledInBlock(t *testing.T) {
	for _, python := range few(t) {
		t.Run(python.Name, func(t *testing.T) {
			p := sleeper(t, python, "60")
			w := watch(t, "--pid", itoa(p.pid()), "--duration", "1h")
			told := monotonic()
			p.block(t)
			asleep := monotonic()
			time.Sleep(5 * usualThreshold())
			killed := monotonic()
			p.kill()
			gone := monotonic()
			blocks := p.unexplained(w.stop(t))
			require.Len(t, blocks, 1)
			b := blocks[0]
			sleeping(t, b)
			assert.False(t, b.Ongoing, "a dead process blocks no more")
			assert.True(t, told <= b.StartNS && b.StartNS <= asleep, "it began when the program fell asleep: %d %d %d", told, b.StartNS, asleep)
			end := b.StartNS + b.DurationNS
			assert.True(t, killed <= end && end <= gone, "it ended with the program: %d %d %d", killed, end, gone)
		})
	}
}

// TestOngoing: a block that outlasts the window is reported as far as it has come.
func TestOngoing(t *testing.T) {
	p := sleeper(t, newest(t), "60")
	w := watch(t, "--pid", itoa(p.pid()), "--duration", "1h")
	p.block(t)
	time.Sleep(5 * usualThreshold())
	told := monotonic()
	rep := w.stop(t)
	ended := monotonic()
	blocks := p.unexplained(rep)
	require.Len(t, blocks, 1)
	sleeping(t, blocks[0])
	assert.True(t, blocks[0].Ongoing)
	assert.True(t, told <= rep.EndedNS && rep.EndedNS <= ended, "the window ends when it is told to: %d %d %d", told, rep.EndedNS, ended)
	assert.Equal(t, rep.EndedNS, blocks[0].StartNS+blocks[0].DurationNS, "it goes on until then")
	loops := loopsOf(rep, p.pid())
	require.Len(t, loops, 1)
	assert.Positive(t, loops[0].InBlockNS)
}

// TestSignals: an interrupted observation ends early and prints what it has seen.
func TestSignals(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			p := sleeper(t, newest(t), seconds(usualThreshold()))
			w := watch(t, "--duration", "1h")
			log, err := p.play()
			require.NoError(t, err)
			require.NoError(t, w.cmd.Process.Signal(signal))
			v := judge.Blocks(usualThreshold(), log, judge.BlocksOf(w.report(t), p.pid()), p.waits)
			assert.Equal(t, 1, v.Right, v.Summary())
			assert.Empty(t, v.Complaints)
		})
	}
}

// TestNothingLeftBehind: whatever ends loopwatch, its probes end with it.
func TestNothingLeftBehind(t *testing.T) {
	for _, signal := range endings() {
		t.Run(signal.String(), func(t *testing.T) {
			p := sleeper(t, newest(t), seconds(usualThreshold()))
			w := watch(t, "--duration", "1h")
			during := objectsOf(t, w.cmd.Process.Pid)
			require.Subset(t, slices.Collect(maps.Keys(kernelObjects(t))), slices.Collect(maps.Keys(during)))
			require.NoError(t, w.cmd.Process.Signal(signal))
			<-w.exited
			// The kernel frees programs after a grace period of its own.
			assert.Eventually(t, func() bool {
				left := kernelObjects(t)
				for object := range during {
					if left[object] {
						return false
					}
				}
				return true
			}, patience, 50*time.Millisecond, "probes are left behind")
			_, err := p.play()
			require.NoError(t, err, "the program watched goes on unharmed")
		})
	}
}

// object is a BPF program, map or link of the kernel.
type object struct {
	kind string
	id   uint32
}

// objectsOf lists the BPF objects that a process has open, some of each kind.
func objectsOf(t testing.TB, pid int) map[object]bool {
	t.Helper()
	infos, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	require.NoError(t, err)
	objects := map[object]bool{}
	kinds := map[string]bool{}
	for _, info := range infos {
		text, err := os.ReadFile(info)
		if errors.Is(err, os.ErrNotExist) {
			continue // closed meanwhile
		}
		require.NoError(t, err)
		for _, m := range objectID.FindAllStringSubmatch(string(text), -1) {
			kind, number := m[1], m[2]
			if kind == "prog" {
				kind = "program"
			}
			id, err := strconv.ParseUint(number, 10, 32)
			require.NoError(t, err)
			objects[object{kind, uint32(id)}], kinds[kind] = true, true
		}
	}
	require.Len(t, kinds, 3, "the test sees the programs, maps and links there are")
	return objects
}

// objectID is how fdinfo has the number of an object.
var objectID = regexp.MustCompile(`(?m)^(prog|map|link)_id:\s*(\d+)$`)

// kernelObjects lists the BPF objects of the kernel, whoever's they are.
func kernelObjects(t testing.TB) map[object]bool {
	t.Helper()
	objects := map[object]bool{}
	for id := ebpf.ProgramID(0); ; {
		next, err := ebpf.ProgramGetNextID(id)
		if errors.Is(err, syscall.ENOENT) {
			break
		}
		require.NoError(t, err)
		id = next
		objects[object{"program", uint32(id)}] = true
	}
	for id := ebpf.MapID(0); ; {
		next, err := ebpf.MapGetNextID(id)
		if errors.Is(err, syscall.ENOENT) {
			break
		}
		require.NoError(t, err)
		id = next
		objects[object{"map", uint32(id)}] = true
	}
	links := new(link.Iterator)
	for links.Next() {
		objects[object{"link", uint32(links.ID)}] = true
	}
	require.NoError(t, links.Err())
	links.Close()
	return objects
}

// TestUnsupported: a Python that cannot be watched is listed with its version.
func TestUnsupported(t *testing.T) {
	pythons := testpython.Unsupported(t)
	if len(pythons) == 0 {
		t.Skip("every Python on this machine is supported")
	}
	for _, python := range pythons {
		t.Run(python.Name, func(t *testing.T) {
			p := newStage(t).run(t, python, truth.Resting, "idle_beside_blocked_threads")
			line, err := p.line()
			require.NoError(t, err)
			require.Equal(t, "ready", string(line))
			time.Sleep(settling)
			w := watch(t, "--duration", "1h")
			time.Sleep(settling)
			rep := w.stop(t)
			assert.Empty(t, loopsOf(rep, p.pid()))
			for _, u := range rep.Unsupported {
				if u.PID == p.pid() {
					assert.Contains(t, u.Reason, strings.Join(strings.SplitN(python.Version, ".", 3)[:2], "."))
					assert.Contains(t, u.Command, truth.Resting)
					return
				}
			}
			t.Errorf("%s is not listed as unsupported: %+v", python, rep.Unsupported)
		})
	}
}
