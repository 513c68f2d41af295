// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/test/truth"
	"github.com/loopwatch/loopwatch/test/zoo"
)

// zooEnv says for how long each attack is looked at ("60s"), where that is for figures.
const zooEnv = "LOOPWATCH_ZOO"

// attack is one of TestZoo's: start starts it, and it ends with the test.
type attack struct {
	name  string
	start func(t *testing.T)
}

// TestZoo runs an innocent program beside each attack. loopwatch has to find its blocks, name them right, and tell them while the program
// goes on; it has to take little CPU time and memory, and dump and doctor have to end. One watch goes through all attacks.
func TestZoo(t *testing.T) {
	a := newArena(t)
	calm := a.observe(t, "calm")
	for _, attack := range a.attacks(t) {
		t.Run(attack.name, func(t *testing.T) {
			attack.start(t)
			seen := a.observe(t, attack.name)
			extra := seen.cpu - calm.cpu
			t.Logf("%.2f %% of a CPU more, %d MiB resident at most; %d blocks, told %d blocks late at most; dump ended after %v, doctor after %v",
				100*extra, seen.memory>>20, seen.blocks, seen.late, seen.dump.Round(time.Millisecond), seen.doctor.Round(time.Millisecond))
			assert.Less(t, seen.memory, int64(mostMemory), "bytes of memory")
			if !strings.HasPrefix(attack.name, "storms") { // of real processes and blocks, as many as the machine makes
				assert.Less(t, extra, mostExtra, "of a CPU")
			}
			assert.LessOrEqual(t, seen.late, mostLate, "blocks of the innocent program between the end of one and its line")
		})
	}
	again := a.observe(t, "calm")
	t.Logf("without an attack %.2f %% of a CPU, afterwards %.2f %%", 100*calm.cpu, 100*again.cpu)
}

const (
	// mostExtra and mostMemory leave room for what else goes on in the host, which is watched, too, and for what an attack costs once.
	// docs/reliability.md has figures.
	mostExtra  = 0.5
	mostMemory = 128 << 20
	// mostLate is how many blocks the innocent program may make before the line of one has come. A block and a pause take it three
	// times as long as a line may take.
	mostLate = 4

	innocentBlock, innocentPause = 120 * time.Millisecond, 30 * time.Millisecond
)

// arena is where attacks take place.
type arena struct {
	python testpython.Interp
	script string // the innocent program
	watch  *streamer
	told   *arrivals
	length time.Duration // of an observation
}

func newArena(t *testing.T) *arena {
	t.Helper()
	a := &arena{length: 1500 * time.Millisecond}
	if text := os.Getenv(zooEnv); text != "" {
		var err error
		a.length, err = time.ParseDuration(text)
		require.NoError(t, err)
	}
	all := testpython.All(t)
	n := slices.IndexFunc(all, func(py testpython.Interp) bool { return strings.HasPrefix(py.Version, "3.13.") && py.Root == "" })
	require.GreaterOrEqual(t, n, 0, "no CPython 3.13 on this machine")
	a.python = all[n]
	dir := publicDir(t)
	require.NoError(t, zoo.Write(dir))
	a.script = filepath.Join(dir, zoo.Innocent)
	read, write, err := os.Pipe()
	require.NoError(t, err)
	a.told = &arrivals{}
	done := readLines(t, read, a.told.add)
	a.watch = watchStream(t, write, nil, "--format", "jsonl")
	t.Cleanup(func() {
		a.watch.stop(t)
		<-done
	})
	return a
}

// attacks are those of package zoo, and those that other tests have made.
func (a *arena) attacks(t *testing.T) (out []attack) {
	for _, of := range zoo.Attacks() {
		out = append(out, attack{strings.TrimSuffix(of.Program, ".py") + " " + of.Name, func(t *testing.T) {
			args := []string{filepath.Join(filepath.Dir(a.script), of.Program), of.Name}
			if of.Directory {
				args = append(args, t.TempDir())
			}
			startAttack(t, a.python, args...)
		}})
	}
	stage := newStage(t)
	return append(out, attack{"silent memory", func(t *testing.T) {
		for _, memory := range []string{"heap", "code"} {
			p := stage.run(t, a.python, truth.Silent, memory)
			require.NoError(t, p.ready())
			silence(t, p)
		}
	}})
}

// startAttack starts a program and waits until it has begun. Whatever it has started ends with it.
func startAttack(t *testing.T, python testpython.Interp, args ...string) {
	t.Helper()
	cmd := python.Command(args...)
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	p := testpython.Start(t, cmd)
	t.Cleanup(func() { // before what Start cleans up: the group has its name while it has a member
		for !errors.Is(unix.Kill(-p.PID, unix.SIGKILL), unix.ESRCH) {
			time.Sleep(time.Millisecond)
		}
	})
	require.Equal(t, "ready", p.ReadLine(t))
}

// seen is what an observation beside an attack found.
type seen struct {
	cpu          float64 // of a CPU that loopwatch took
	memory       int64   // bytes, resident, at most
	blocks, late int     // of the innocent program; how many it made at most before one was told
	dump, doctor time.Duration
}

// observe runs an innocent program, which blocks its loop for some time, and compares what loopwatch tells with its log.
func (a *arena) observe(t *testing.T, name string) (s seen) {
	t.Helper()
	from := a.told.count()
	cmd := a.python.Command(a.script, ftoa(innocentBlock.Seconds()), ftoa(innocentPause.Seconds()))
	p := testpython.Start(t, cmd)
	log := []zoo.Block{readBlock(t, p)}
	pids := a.watch.processes(t)
	for _, pid := range pids {
		require.NoError(t, os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)) // what was most counts from here
	}
	before, begun := cpuOfAll(t, a.watch.cmd.Process.Pid), time.Now()
	for time.Since(begun) < a.length {
		log = append(log, readBlock(t, p))
	}
	s.cpu = (cpuOfAll(t, a.watch.cmd.Process.Pid) - before).Seconds() / time.Since(begun).Seconds()
	var others sync.WaitGroup
	for command, took := range map[string]*time.Duration{"dump": &s.dump, "doctor": &s.doctor} {
		others.Go(func() {
			begun := time.Now()
			do(t, 0, command)
			*took = time.Since(begun)
		})
	}
	ended := make(chan struct{})
	go func() { others.Wait(); close(ended) }()
	for going := true; going; {
		log = append(log, readBlock(t, p))
		select {
		case <-ended:
			going = false
		default:
		}
	}
	for _, pid := range pids {
		s.memory = max(s.memory, residentPeak(t, pid))
	}
	s.blocks, s.late = len(log), a.lateness(t, p, from, log)
	_ = p.Cmd.Process.Kill()
	return s
}

// lateness finds each block of the innocent program in what was told, and returns how many others it made at most between the end
// of one and its line.
func (a *arena) lateness(t *testing.T, p *testpython.Program, from int, log []zoo.Block) (most int) {
	t.Helper()
	last := log[len(log)-1]
	for deadline := time.Now().Add(patience); !slices.ContainsFunc(a.told.of(t, p.PID, from), func(b toldBlock) bool { return b.covers(last) }); {
		require.True(t, time.Now().Before(deadline), "the last block of the innocent program is not told; stderr: %s", a.watch.stderr.String())
		log = append(log, readBlock(t, p))
	}
	told := a.told.of(t, p.PID, from)
	for i, own := range log[:slices.Index(log, last)+1] {
		n := slices.IndexFunc(told, func(b toldBlock) bool { return b.covers(own) })
		if !assert.GreaterOrEqual(t, n, 0, "block %d of the innocent program is missing", i) {
			continue
		}
		b := told[n]
		if b.Cause != model.CauseRunqueue || b.DurationNS < 2*innocentBlock.Nanoseconds() { // or it was the crowd that took most of it
			assert.Equal(t, model.CauseSleep, b.Cause, "block %d", i)
			if assert.NotNil(t, b.Culprit, "block %d", i) {
				assert.Equal(t, "hold", b.Culprit.Function, "block %d", i)
			}
		}
		late := 0
		for _, other := range log[i+1:] {
			if other.End < b.at {
				late++
			}
		}
		most = max(most, late)
	}
	return most
}

func readBlock(t *testing.T, p *testpython.Program) zoo.Block {
	t.Helper()
	b, err := zoo.ParseBlock([]byte(p.ReadLine(t)))
	require.NoError(t, err)
	return b
}

// processes are those of loopwatch: it may go on in a session of its own.
func (s *streamer) processes(t *testing.T) []int {
	t.Helper()
	below, err := process.Descendants([]int{s.cmd.Process.Pid})
	require.NoError(t, err)
	return append(below, s.cmd.Process.Pid)
}

var highWater = regexp.MustCompile(`(?m)^VmHWM:\s*(\d+) kB$`)

// residentPeak returns how much memory a process has had at most, in bytes.
func residentPeak(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	m := highWater.FindSubmatch(status)
	require.NotNil(t, m)
	kib, err := strconv.ParseInt(string(m[1]), 10, 64)
	require.NoError(t, err)
	return kib << 10
}

// arrivals are lines and when they came. Safe for concurrent use.
type arrivals struct {
	mu    sync.Mutex
	lines []line
}

func (a *arrivals) add(l line) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lines = append(a.lines, l)
}

func (a *arrivals) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.lines)
}

// toldBlock is a block that was told and when.
type toldBlock struct {
	model.Block
	at int64
}

func (b toldBlock) covers(own zoo.Block) bool {
	return b.StartNS <= own.Begin && b.StartNS+b.DurationNS >= own.End
}

// of returns the blocks of a process that were told after so many lines, those that went on left out.
func (a *arrivals) of(t *testing.T, pid, from int) (out []toldBlock) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	mark := []byte(fmt.Sprintf(`"pid":%d,`, pid))
	for _, l := range a.lines[from:] {
		if !bytes.Contains(l.text, mark) {
			continue
		}
		b := toldBlock{at: l.at}
		require.NoError(t, json.Unmarshal(l.text, &b.Block))
		if b.PID == pid && !b.Ongoing {
			out = append(out, b)
		}
	}
	return out
}
