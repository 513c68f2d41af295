// SPDX-License-Identifier: Apache-2.0

package dump

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/clock"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/python"
	"github.com/loopwatch/loopwatch/internal/report/words"
	"github.com/loopwatch/loopwatch/internal/syscalls"
	"github.com/loopwatch/loopwatch/internal/testpython"
)

// wanted is what a dump is to say of one state of states.py.
type wanted struct {
	state    string
	cause    model.Cause
	culprit  string // the function's own name
	target   string // with %s for what the program tells beforehand
	task     string
	syscalls string // some of which one is the syscall, "" none
}

var states = []wanted{
	{state: "idle"},
	{state: "sleep", cause: model.CauseSleep, culprit: "stand", syscalls: "clock_nanosleep select pselect6"},
	{state: "recv", cause: model.CauseNet, culprit: "stand", target: "tcp 127.0.0.1:%s", syscalls: "recvfrom"},
	{state: "polled", cause: model.CauseNet, culprit: "stand", target: "tcp 127.0.0.1:%s", syscalls: "poll ppoll"},
	{state: "fifo", cause: model.CauseFile, culprit: "stand", target: "%s", syscalls: "open openat"},
	{state: "child", cause: model.CauseSubprocess, culprit: "stand", target: "child %s", syscalls: "wait4 waitid"},
	{state: "lock", cause: model.CauseLock, culprit: "stand", syscalls: "futex"},
	{state: "spin", culprit: "stand"},
	{state: "gil", cause: model.CauseGIL, syscalls: "futex"},
	{state: "in_task", cause: model.CauseSleep, culprit: "inner", task: "outer task", syscalls: "clock_nanosleep select pselect6"},
}

// standing is a program in one of the states.
type standing struct {
	wanted
	program *testpython.Program
	since   int64 // by its own clock
	delay   int64 // how long it had waited for a CPU by then
	word    string

	forgotten bool // something of it was not known that mostly is
}

// TestStates has a loop in each state at once, on every interpreter, and holds one dump of them all against what the
// programs say themselves.
func TestStates(t *testing.T) {
	source, err := os.ReadFile("testdata/states.py")
	require.NoError(t, err)
	proc, err := os.Open("/proc") // trees have none
	require.NoError(t, err)
	defer proc.Close()
	looks, forgotten := 0, 0
	for _, py := range testpython.All(t) {
		for _, loop := range []string{"asyncio", "uvloop"} {
			t.Run(py.Name+"/"+loop, func(t *testing.T) {
				if loop == "uvloop" && py.Command("-c", "import uvloop").Run() != nil {
					t.Skip("uvloop is not installed for " + py.Name)
				}
				var all []*standing
				byPID := map[int]*standing{}
				var pids []int
				for _, w := range states {
					cmd := py.Command(py.Script(t, "states.py", string(source)), w.state, loop)
					cmd.ExtraFiles = []*os.File{proc}
					s := &standing{wanted: w, program: testpython.Start(t, cmd)}
					all = append(all, s)
					pids = append(pids, s.program.PID)
					byPID[s.program.PID] = s
				}
				for _, s := range all {
					line := s.program.ReadLine(t)
					if strings.Contains(s.target, "%s") {
						s.word, line = line, s.program.ReadLine(t)
					}
					_, err := fmt.Sscan(line, &s.since, &s.delay)
					require.NoError(t, err, line)
				}
				// What they have told they are about to do.
				for _, s := range all {
					s.awaitState(t)
				}
				time.Sleep(200 * time.Millisecond)
				before := clock.Monotonic()
				d, refused, err := Take(t.Context(), Options{PIDs: pids})
				require.NoError(t, err)
				require.Empty(t, refused)
				require.Len(t, d.Processes, len(states))
				for _, p := range d.Processes {
					s := byPID[p.PID]
					t.Run(s.state, func(t *testing.T) { s.check(t, py, loop, p, before) })
					if looks++; s.forgotten {
						forgotten++
					}
				}
			})
		}
	}
	assert.GreaterOrEqual(t, 100*(looks-forgotten), mostly*looks, "%d of %d", forgotten, looks)
}

// mostly is how many of a hundred the kernel has to know the beginning of.
const mostly = 80

// slack is how much later than it told a program may do what it told, beside its wait for a CPU.
const slack = int64(20 * time.Millisecond)

// awaitState waits until the program's loop has got where it told it is about to go.
func (s *standing) awaitState(t *testing.T) {
	t.Helper()
	calls := s.syscalls
	switch s.state {
	case "idle":
		calls = "epoll_wait epoll_pwait"
	case "spin":
		return
	}
	p, err := process.Open(s.program.PID)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		call, err := p.Syscall(p.PID)
		return err == nil && call.Number >= 0 && slices.Contains(strings.Fields(calls), syscalls.Lookup(call.Number).Name)
	}, time.Minute, time.Millisecond, s.state)
}

// delayed is how long the program's loop has waited for a CPU since it told.
func (s *standing) delayed(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", s.program.PID))
	require.NoError(t, err)
	var ran, waited int64
	_, err = fmt.Sscan(string(text), &ran, &waited)
	require.NoError(t, err)
	return waited - s.delay
}

func (s *standing) check(t *testing.T, py testpython.Interp, loop string, p model.DumpProcess, before int64) {
	require.Len(t, p.Loops, 1)
	l := p.Loops[0]
	assert.Equal(t, loop, l.Loop)
	assert.Equal(t, py.Version, p.Python)
	assert.False(t, l.Torn)
	assert.False(t, l.TasksTorn)
	state := model.StateBlocked
	if s.state == "idle" {
		state = model.StateIdle
	}
	// Nothing tells when a compiled loop's callback began, and who waits for the GIL wakes up again and again: it is
	// watched, from then on.
	vague := loop == "uvloop" && (s.state == "spin" || s.state == "gil")
	told := before - s.since
	slack := slack + s.delayed(t)
	// The kernel forgets when a thread fell asleep that it moves to another CPU meanwhile. One that is not idle is
	// watched then, too. Of a compiled loop a lower bound is all there is: that the thread sleeps.
	least := told
	if loop == "uvloop" {
		least -= slack
	}
	short := l.ForNS != nil && l.AtLeast && *l.ForNS < least
	s.forgotten = !vague && (l.ForNS == nil || short)
	assert.Equal(t, state, l.State)
	if s.cause != "" {
		assert.Equal(t, s.cause, l.Cause)
	}
	switch {
	case l.ForNS == nil:
		assert.Equal(t, "idle", s.state)
	case vague, short:
		assert.True(t, l.AtLeast)
		assert.GreaterOrEqual(t, *l.ForNS, int64(100*time.Millisecond))
		assert.Less(t, *l.ForNS, int64(maxWatch+time.Second))
	default:
		// Not before the iteration began in which the program told, and not after the program had told and done so.
		assert.GreaterOrEqual(t, *l.ForNS, told-slack)
		assert.LessOrEqual(t, before-*l.ForNS, before)
		assert.Equal(t, loop == "uvloop" && s.state != "idle", l.AtLeast)
	}
	if s.culprit != "" && assert.NotNil(t, l.Culprit) {
		assert.Equal(t, s.culprit, l.Culprit.Function[strings.LastIndexByte(l.Culprit.Function, '.')+1:])
		assert.True(t, strings.HasSuffix(l.Culprit.File, "/states.py"))
		assert.Positive(t, l.Culprit.Line)
	}
	if s.syscalls != "" {
		assert.Contains(t, strings.Fields(s.syscalls), l.Detail.Syscall)
	}
	if s.target != "" {
		assert.Equal(t, strings.ReplaceAll(s.target, "%s", s.word), l.Detail.Target)
	}
	assert.Equal(t, s.task, l.Task)

	names := map[string]bool{}
	for _, th := range p.Threads {
		names[th.Thread] = true
		if th.Thread == "beside the loop" {
			assert.Equal(t, model.StateSleeping, th.State)
			assert.Equal(t, model.CauseSleep, th.Cause)
			require.NotEmpty(t, th.Frames)
			assert.Contains(t, th.Frames[0].Function, "other")
			s.forgotten = s.forgotten || th.ForNS == nil
		}
	}
	assert.True(t, names["beside the loop"])
	switch s.state {
	case "gil":
		require.Len(t, p.GIL, 1)
		assert.Equal(t, "the hog", p.GIL[0].Thread)
		require.NotNil(t, l.Detail.Holder)
		assert.Equal(t, "the hog", l.Detail.Holder.Thread)
		assert.Equal(t, p.GIL[0].TID, l.Detail.Holder.TID)
		assert.NotEmpty(t, l.Detail.Holder.Frames)
	case "spin":
		require.Len(t, p.GIL, 1)
		assert.Equal(t, l.TID, p.GIL[0].TID)
		assert.Equal(t, model.GILHeld, l.Detail.GIL)
		assert.Contains(t, []model.Cause{model.CauseCPU, model.CauseUnknown}, l.Cause)
	default:
		assert.Empty(t, p.GIL)
	}
	stacks := map[string]int{}
	for _, task := range l.Tasks {
		require.NotEmpty(t, task.Frames)
		f := task.Frames[len(task.Frames)-1]
		stacks[f.Function[strings.LastIndexByte(f.Function, '.')+1:]]++
		assert.Equal(t, task.Name == "outer task", task.Running)
	}
	assert.Equal(t, 1, stacks["nothing"])
	if s.state == "in_task" {
		assert.Equal(t, 1, stacks["outer"])
		require.Len(t, l.Tasks, 3)
		for _, task := range l.Tasks {
			assert.Equal(t, len(task.Awaits) == 1, strings.HasSuffix(task.Frames[0].Function, "waits"), task.Name)
		}
	}
}

// TestRefusals: what cannot be looked at is said of each process, and of those that can be they are shown.
func TestRefusals(t *testing.T) {
	other := exec.Command("sleep", "600")
	require.NoError(t, other.Start())
	t.Cleanup(func() { _ = other.Process.Kill(); _ = other.Wait() })
	gone := exec.Command("true")
	require.NoError(t, gone.Run())

	_, _, err := Take(t.Context(), Options{PIDs: []int{other.Process.Pid}})
	var refusal *python.PIDError
	require.ErrorAs(t, err, &refusal)
	assert.Contains(t, err.Error(), "not a Python process")
	_, _, err = Take(t.Context(), Options{PIDs: []int{gone.Process.Pid}})
	require.ErrorAs(t, err, &refusal)
	assert.Contains(t, err.Error(), "no such process")
	for _, py := range testpython.Unsupported(t) {
		program := testpython.Start(t, py.Command("-c", "import sys; print(1); sys.stdout.flush(); sys.stdin.read()"))
		program.ReadLine(t)
		_, _, err := Take(t.Context(), Options{PIDs: []int{program.PID}})
		require.ErrorAs(t, err, &refusal, py.Name)
		assert.NotContains(t, err.Error(), "\n")
	}

	py := testpython.All(t)[0]
	program := testpython.Start(t, py.Command("-c", "import sys; print(1); sys.stdin.read()"))
	program.ReadLine(t)
	d, refused, err := Take(t.Context(), Options{PIDs: []int{other.Process.Pid, program.PID}})
	require.NoError(t, err)
	require.Len(t, refused, 1)
	assert.Equal(t, other.Process.Pid, refused[0].PID)
	require.Len(t, d.Processes, 1)
	assert.Empty(t, d.Processes[0].Loops)
	require.Len(t, d.Processes[0].Threads, 1)
}

// Whatever is counted is explained.
func TestEveryReasonHasWords(t *testing.T) {
	for _, reason := range []string{
		reasonStarting, reasonOver, reasonGone, reasonThreads, reasonUnwalked, reasonTorn, reasonTasks, reasonTornTasks,
		reasonPython, reasonMoreTasks, reasonStray, reasonCut, reasonTargets, reasonUnwatched, reasonBudget, reasonStacks,
		python.ReasonParentCut, python.ReasonNative,
	} {
		assert.NotEmpty(t, words.ReasonText(reason), reason)
	}
}
