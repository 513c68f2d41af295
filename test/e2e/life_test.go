// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/report"
	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/test/truth"
)

// These tests are about loopwatch's and the programs' lives; one interpreter will do.

// sleeper starts a program that blocks its loop once, in time.sleep and for more than the
// threshold (seconds), as soon as its stdin is closed.
func sleeper(t *testing.T, python testpython.Interp, threshold string) *program {
	t.Helper()
	p := newStage(t).run(t, python, truth.Blocking, "asyncio", "--threshold", threshold, "--kind", "sleeping", "--over", "1", "--under", "0")
	require.NoError(t, p.ready())
	return p
}

// sleeping asserts that b is the block of a sleeper.
func sleeping(t *testing.T, b report.Block) {
	t.Helper()
	require.NotNil(t, b.Culprit)
	assert.Equal(t, "sleeping", b.Culprit.Function)
	assert.Equal(t, report.CauseSleep, b.Cause)
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
			v := judge(usualThreshold(), log, blocksOf(w.stop(t), p.pid()), nil)
			assert.Equal(t, 1, v.right, v.summary())
			assert.Empty(t, v.complaints)
		})
	}
}

// TestKilledInBlock: what is known of a block survives the process.
func TestKilledInBlock(t *testing.T) {
	for _, python := range few(t) {
		t.Run(python.Name, func(t *testing.T) {
			p := sleeper(t, python, "60")
			w := watch(t, "--pid", itoa(p.pid()), "--duration", "1h")
			require.NoError(t, p.stdin.Close())
			time.Sleep(time.Second)
			p.kill()
			time.Sleep(200 * time.Millisecond)
			blocks := blocksOf(w.stop(t), p.pid())
			require.Len(t, blocks, 1)
			sleeping(t, blocks[0])
			assert.False(t, blocks[0].Ongoing, "a dead process blocks no more")
			assert.InDelta(t, 900*time.Millisecond, blocks[0].DurationNS, float64(500*time.Millisecond))
		})
	}
}

// TestOngoing: a block that outlasts the window is reported as far as it has come.
func TestOngoing(t *testing.T) {
	p := sleeper(t, newest(t), "60")
	w := watch(t, "--pid", itoa(p.pid()), "--duration", "2s")
	require.NoError(t, p.stdin.Close())
	rep := w.report(t)
	blocks := blocksOf(rep, p.pid())
	require.Len(t, blocks, 1)
	sleeping(t, blocks[0])
	assert.True(t, blocks[0].Ongoing)
	assert.InDelta(t, rep.EndedNS, blocks[0].StartNS+blocks[0].DurationNS, float64(200*time.Millisecond))
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
			_, err := p.play()
			require.NoError(t, err)
			require.NoError(t, w.cmd.Process.Signal(signal))
			blocks := blocksOf(w.report(t), p.pid())
			require.Len(t, blocks, 1)
			sleeping(t, blocks[0])
		})
	}
}

// TestNothingLeftBehind: whatever ends loopwatch, its probes end with it.
func TestNothingLeftBehind(t *testing.T) {
	for _, signal := range endings() {
		t.Run(signal.String(), func(t *testing.T) {
			p := sleeper(t, newest(t), seconds(usualThreshold()))
			before := kernelObjects(t)
			w := watch(t, "--duration", "1h")
			during := without(kernelObjects(t), before)
			require.NotEmpty(t, during, "the test sees the probes there are")
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

// kernelObjects lists the BPF objects of the kernel. Others may be there: each test looks at
// those that came.
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

// without returns the objects of a that are not in b.
func without(a, b map[object]bool) map[object]bool {
	rest := map[object]bool{}
	for o := range a {
		if !b[o] {
			rest[o] = true
		}
	}
	return rest
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
