// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/internal/usdt"
	"github.com/loopwatch/loopwatch/test/judge"
	"github.com/loopwatch/loopwatch/test/truth"
)

// probedBy returns the sites in an interpreter's executable.
func probedBy(t *testing.T, path string) []usdt.Site {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	info, err := f.Stat()
	require.NoError(t, err)
	found, err := usdt.Parse(f, info.Size(), "python")
	require.NoError(t, err)
	return found.Sites
}

// playProbed has a Probed program play to its end and returns its log.
func playProbed(t *testing.T, p *program) (log []truth.Probe) {
	t.Helper()
	require.NoError(t, p.stdin.Close())
	for {
		line, err := p.line()
		require.NoError(t, err)
		var entry truth.Probe
		require.NoError(t, json.Unmarshal(line, &entry), "%s", line)
		if entry.Kind == "done" {
			return log
		}
		log = append(log, entry)
	}
}

func startProbed(t *testing.T, python testpython.Interp) *program {
	t.Helper()
	p := newStage(t).run(t, python, truth.Probed, itoa(probed()), seconds(2*probesThreshold))
	line, err := p.line()
	require.NoError(t, err)
	require.Equal(t, "ready", string(line))
	return p
}

// probesThreshold is what TestProbes watches at.
const probesThreshold = 10 * time.Millisecond

// TestProbes: where the interpreter has probes, collections and imports are told as the program
// itself saw them; where it has none, at least as what they are.
func TestProbes(t *testing.T) {
	withProbes := 0
	for _, python := range testpython.All(t) {
		t.Run(python.Name, func(t *testing.T) {
			p := startProbed(t, python)
			w := watch(t, "--pid", itoa(p.pid()), "--threshold", probesThreshold.String(), "--duration", "1h", "--usdt", "gc,import")
			has := len(probedBy(t, fmt.Sprintf("/proc/%d/exe", p.pid()))) > 0
			log := playProbed(t, p)
			rep := w.stop(t)
			loops := loopsOf(rep, p.pid())
			require.Len(t, loops, 1)
			if !has {
				assert.Empty(t, loops[0].USDT)
			} else {
				withProbes++
				assert.Equal(t, []string{"gc", "import"}, loops[0].USDT)
			}
			for _, reason := range []string{"usdt_binaries_unreadable", "usdt_probes_not_attached", "usdt_sites_refused"} {
				assert.Zero(t, rep.Lost.Reasons[reason], reason)
			}
			compareProbes(t, log, judge.BlocksOf(rep, p.pid()), has)
		})
	}
	assert.Positive(t, withProbes, "no interpreter has probes: apt-get install python3")
}

// compareProbes holds each block against what the program saw.
func compareProbes(t *testing.T, log []truth.Probe, blocks []model.Block, exact bool) {
	t.Helper()
	var pauses, imports []time.Duration
	seen, excused := map[string]int{}, 0
	for _, entry := range log {
		n := slices.IndexFunc(blocks, func(b model.Block) bool {
			return 2*judge.Overlap(b.StartNS, b.StartNS+b.DurationNS, entry.StartNS, entry.EndNS) >= entry.EndNS-entry.StartNS
		})
		if !assert.GreaterOrEqual(t, n, 0, "missed: %+v", entry) {
			continue
		}
		b := blocks[n]
		what := fmt.Sprintf("%+v is %s, %v, %+v %+v", entry, b.Cause, b.BreakdownNS, b.Detail.GC, b.Detail.Import)
		seen[entry.Kind]++
		if b.Cause == model.CauseRunqueue || b.Cause == model.CauseThrottled {
			// The block goes on while the program prints what it saw, out of its own sight.
			after := max(b.DurationNS-(entry.EndNS-entry.StartNS), 0)
			assert.LessOrEqual(t, b.BreakdownNS[b.Cause], delays(entry.RunDelayNS)+after+int64(time.Millisecond), what)
			excused++
		} else {
			assert.Equal(t, model.Cause(entry.Kind), b.Cause, what)
		}
		if !exact {
			assert.Nil(t, b.Detail.GC, what)
			assert.Nil(t, b.Detail.Import, what)
			continue
		}
		// Between the program's clock and the probe the thread may lose its CPU, for no longer
		// than the kernel says.
		within := func(saw, told int64) time.Duration {
			off := saw - told
			assert.LessOrEqual(t, max(off, -off), delays(entry.RunDelayNS)+int64(time.Millisecond), what)
			return time.Duration(off).Abs()
		}
		if g := b.Detail.GC; assert.Equal(t, len(entry.PausesNS) > 0, g != nil, what) && g != nil {
			assert.EqualValues(t, len(entry.PausesNS), g.Count, what)
			assert.Contains(t, entry.Generations, g.Generation, what)
			assert.Equal(t, entry.Collected, g.Collected, what)
			pauses = append(pauses, within(sumOf(entry.PausesNS), g.NS))
			within(slices.Max(entry.PausesNS), g.MaxNS)
		}
		if i := b.Detail.Import; assert.Equal(t, len(entry.ImportsNS) > 0, i != nil, what) && i != nil {
			assert.EqualValues(t, len(entry.ImportsNS), i.Count, "an import within another is none of its own: %s", what)
			assert.True(t, strings.HasPrefix(i.Module, "slow_"), what)
			imports = append(imports, within(sumOf(entry.ImportsNS), i.NS))
			within(slices.Max(entry.ImportsNS), i.MaxNS)
			// All that the import did is import, but for its wait for a CPU.
			assert.Zero(t, b.BreakdownNS[model.CauseGC], what)
			within(i.NS, b.BreakdownNS[model.CauseImport])
		} else if g := b.Detail.GC; g != nil {
			within(g.NS, b.BreakdownNS[model.CauseGC])
		}
	}
	assert.Equal(t, 3*probed(), seen["gc"])
	assert.Equal(t, 2*probed(), seen["import"])
	t.Logf("%d blocks, %d of them short of a CPU; error of collections p50 %v max %v, of imports p50 %v max %v",
		len(log), excused, judge.Quantile(pauses, .5), judge.Quantile(pauses, 1), judge.Quantile(imports, .5), judge.Quantile(imports, 1))
	if exact {
		assert.Less(t, judge.Quantile(pauses, .5), time.Millisecond)
		assert.Less(t, judge.Quantile(imports, .5), time.Millisecond)
	}
}

func sumOf(values []int64) (n int64) {
	for _, v := range values {
		n += v
	}
	return n
}

// ownCopy makes a copy of an interpreter, which nobody else runs and nobody else has probes on.
func ownCopy(t *testing.T) testpython.Interp {
	t.Helper()
	for _, python := range testpython.All(t) {
		path, err := filepath.EvalSymlinks(python.Path)
		if err != nil || python.Root != "" || len(probedBy(t, path)) == 0 {
			continue
		}
		dir, err := os.MkdirTemp("/tmp", "loopwatch-e2e-")
		require.NoError(t, err)
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		program, err := os.ReadFile(path)
		require.NoError(t, err)
		python.Path = filepath.Join(dir, filepath.Base(path))
		require.NoError(t, os.WriteFile(python.Path, program, 0o755))
		return python
	}
	t.Fatal("no interpreter of this machine has probes: apt-get install python3")
	return testpython.Interp{}
}

// inMemory reads what a process has where a place of its executable is mapped.
func inMemory(t *testing.T, pid int, offset uint64, n int) []byte {
	t.Helper()
	p, err := process.Open(pid)
	require.NoError(t, err)
	exe, err := p.Exe()
	require.NoError(t, err)
	all, err := p.Maps()
	require.NoError(t, err)
	for _, m := range all {
		if m.Path == exe && offset >= m.Offset && offset-m.Offset < m.End-m.Start {
			b := make([]byte, n)
			require.NoError(t, p.Memory().Read(m.Start+offset-m.Offset, b))
			return b
		}
	}
	t.Fatalf("offset %#x of %s is not mapped", offset, exe)
	return nil
}

// raised tells how often each kind of probe is switched on in a process.
func raised(t *testing.T, pid int, sites []usdt.Site) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, s := range sites {
		b := inMemory(t, pid, s.SemaphoreOffset, 2)
		out[s.Name] = int(b[0]) | int(b[1])<<8
	}
	return out
}

// TestProbesGone: the probes of a binary are there while a process with a loop runs it, and gone
// afterwards, whatever ends loopwatch or the process.
func TestProbesGone(t *testing.T) {
	events, err := os.ReadFile("/sys/kernel/tracing/uprobe_events")
	require.NoError(t, err)
	python := ownCopy(t)
	sites := probedBy(t, python.Path)
	code, err := os.ReadFile(python.Path)
	require.NoError(t, err)
	none := map[string]int{}
	for _, s := range sites {
		none[s.Name] = 0
	}
	// It has no loop, and runs the same binary.
	witness := python.Command("-c", "import time; time.sleep(3600)")
	require.NoError(t, witness.Start())
	t.Cleanup(func() { _ = witness.Process.Kill(); _ = witness.Wait() })
	eventually := func(want func(map[string]int) bool, what string) {
		t.Helper()
		if !assert.Eventually(t, func() bool { return want(raised(t, witness.Process.Pid, sites)) }, patience, 20*time.Millisecond, what) {
			t.Logf("raised: %v", raised(t, witness.Process.Pid, sites))
		}
	}
	gone := func(now map[string]int) bool {
		for _, n := range now {
			if n > 0 {
				return false
			}
		}
		return true
	}
	there := func(now map[string]int) bool { return now["gc__start"] > 0 && now["import__find__load__start"] > 0 }
	breakpoints := func() (n int) {
		for _, s := range sites {
			if now := inMemory(t, witness.Process.Pid, s.Offset, 4); !bytes.Equal(now, code[s.Offset:s.Offset+4]) {
				n++
			}
		}
		return n
	}
	time.Sleep(settling)
	eventually(gone, "nobody has probes on it")

	t.Run("none", func(t *testing.T) {
		p := startProbed(t, python)
		w := watch(t, "--pid", itoa(p.pid()), "--duration", "1h", "--usdt", "none")
		assert.Equal(t, none, raised(t, p.pid(), sites))
		w.stop(t)
	})
	for _, signal := range endings() {
		t.Run(signal.String(), func(t *testing.T) {
			p := startProbed(t, python)
			w := watch(t, "--pid", itoa(p.pid()), "--duration", "1h")
			eventually(there, "attached once for all processes")
			assert.Zero(t, raised(t, p.pid(), sites)["audit"], "what is dear is no default")
			assert.Positive(t, breakpoints())
			require.NoError(t, w.cmd.Process.Signal(signal))
			<-w.exited
			eventually(gone, "gone with loopwatch")
			assert.Zero(t, breakpoints())
			assert.Equal(t, none, raised(t, p.pid(), sites))
			assert.NotEmpty(t, playProbed(t, p), "the program goes on unharmed")
		})
	}
	t.Run("process", func(t *testing.T) {
		w := watch(t, "--duration", "1h", "--usdt", "gc,import,audit")
		first, second := startProbed(t, python), startProbed(t, python)
		eventually(there, "found after the start")
		assert.Positive(t, raised(t, witness.Process.Pid, sites)["audit"])
		first.kill()
		time.Sleep(2 * settling)
		assert.True(t, there(raised(t, second.pid(), sites)), "the other process still runs it")
		second.kill()
		eventually(gone, "gone some time after the last loop")
		w.stop(t)
	})
	after, err := os.ReadFile("/sys/kernel/tracing/uprobe_events")
	require.NoError(t, err)
	assert.Equal(t, string(events), string(after))
}

// TestProbesOfShortLives: processes that live for a moment and follow one another have the probes of their interpreter attached
// once. Some time after the last of them the probes are gone, while loopwatch goes on.
func TestProbesOfShortLives(t *testing.T) {
	python := ownCopy(t)
	witness := python.Command("-c", "import time; time.sleep(3600)")
	require.NoError(t, witness.Start())
	t.Cleanup(func() { _ = witness.Process.Kill(); _ = witness.Wait() })
	sites := probedBy(t, python.Path)
	there := func() bool { return raised(t, witness.Process.Pid, sites)["gc__start"] > 0 }

	w := watch(t, "--duration", "1h")
	short := python.Script(t, "short.py", "import asyncio, sys\nasync def main():\n    while sys.argv[1:]:\n        await asyncio.sleep(0.01)\nasyncio.run(main())\n")
	first := python.Command(short, "stay")
	require.NoError(t, first.Start())
	t.Cleanup(func() { _ = first.Process.Kill(); _ = first.Wait() })
	require.Eventually(t, there, patience, 20*time.Millisecond, "the probes are not attached")
	var gone atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for tick := time.NewTicker(5 * time.Millisecond); ; {
			select {
			case <-stop:
				return
			case <-tick.C:
				if !there() {
					gone.Add(1)
				}
			}
		}
	}()
	require.NoError(t, first.Process.Kill())
	for range 20 {
		require.NoError(t, python.Command(short).Run())
	}
	close(stop)
	<-stopped
	assert.Zero(t, gone.Load(), "they stay from one process to the next")
	assert.Eventually(t, func() bool { return !there() }, patience, 100*time.Millisecond, "they stay for ever")
	assert.Zero(t, w.stop(t).Lost.Reasons["usdt_probes_not_attached"])
}
