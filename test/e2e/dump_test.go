// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/test/truth"
)

// TestDump: what stands on the screen of a user whose loops are idle, asleep, waiting for a peer and waiting for the GIL.
// The tests of internal/dump hold each interpreter and each cause against the programs.
func TestDump(t *testing.T) {
	source, err := os.ReadFile("../../internal/dump/testdata/states.py")
	require.NoError(t, err)
	python := newest(t)
	pids := map[string]string{}
	args := []string{"dump"}
	for state, call := range map[string][]string{
		"idle": {"epoll_wait", "epoll_pwait"}, "sleep": sleepCalls, "recv": {"recvfrom"}, "gil": {"futex"},
	} {
		p := testpython.Start(t, python.Command(python.Script(t, "states.py", string(source)), state))
		p.ReadLine(t) // it is about to
		asleepIn(t, p.PID, p.PID, call...)
		pids[state] = itoa(p.PID)
		args = append(args, itoa(p.PID))
	}
	time.Sleep(2 * usualThreshold()) // all are well over the threshold

	got := do(t, 0, args...)
	require.Equal(t, 0, got.status, got.stderr)
	assert.Empty(t, got.stderr)
	first, rest, _ := strings.Cut(got.stdout, "\n")
	assert.True(t, strings.HasPrefix(first, "3 of 4 loops blocked now; longest "), first)
	part := func(state string) string {
		for p := range strings.SplitSeq(rest, "\n\n") {
			if strings.Contains(strings.SplitN(strings.TrimSpace(p), "\n", 2)[0], "["+pids[state]+"]") {
				return p
			}
		}
		t.Errorf("%s is not shown:\n%s", state, rest)
		return ""
	}
	assert.Contains(t, part("idle"), "asyncio loop, main thread: idle")
	assert.Contains(t, part("sleep"), ", sleep: in ")
	assert.Contains(t, part("recv"), ", net: in recvfrom on fd ")
	assert.Contains(t, part("recv"), "tcp 127.0.0.1:")
	assert.Contains(t, part("gil"), ", gil: in futex")
	assert.Contains(t, part("gil"), "held by thread the hog (")
	for state := range pids {
		assert.Contains(t, part(state), "thread beside the loop (")
		assert.Contains(t, part(state), "nothing states.py")
	}

	got = do(t, 0, "dump", "--format", "json", pids["sleep"])
	require.Equal(t, 0, got.status, got.stderr)
	var d model.Dump
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &d))
	require.Len(t, d.Processes, 1)
	require.Len(t, d.Processes[0].Loops, 1)
	assert.Equal(t, model.CauseSleep, d.Processes[0].Loops[0].Cause)

	got = do(t, 0, "dump", itoa(os.Getpid()))
	assert.Equal(t, 1, got.status)
	assert.Empty(t, got.stdout)
	assert.Equal(t, 1, strings.Count(got.stderr, "\n"), got.stderr)
	assert.Contains(t, got.stderr, "not a Python process")
}

// TestDumpOfEveryLoop: a dump tells each kind of loop in each state, and blocked ones also where nothing in the process
// says since when. The tests of internal/dump do so for asyncio and uvloop, more closely.
func TestDumpOfEveryLoop(t *testing.T) {
	stage := newStage(t)
	standing := map[string]int{}
	looks, forgotten, torn := 0, 0, 0
	for _, python := range testpython.All(t) {
		if python.Root == "" {
			continue // loops are packaged in the Debian trees
		}
		stage.install(t, python)
		stage.compile(t, python)
		t.Run(python.Name, func(t *testing.T) {
			type stands struct {
				*program
				loop, state string
				since       int64 // the iteration it stands in did not begin before
			}
			var started, all []*stands
			args := []string{"dump", "--format", "json"}
			for loop := range truth.Loops {
				if standing[loop] >= 2 { // enough of one kind
					continue
				}
				for _, state := range []string{"idle", "sleep", "spin", "gil"} {
					run, err := stage.start(python, truth.Standing, loop, state)
					require.NoError(t, err)
					t.Cleanup(run.kill)
					started = append(started, &stands{program: run, loop: loop, state: state})
				}
			}
			for _, s := range started {
				err := s.ready()
				if errors.Is(err, errAbsent) {
					continue
				}
				require.NoError(t, err, s.loop)
				all = append(all, s)
				args = append(args, itoa(s.pid()))
				if s.state == "gil" {
					standing[s.loop]++
				}
			}
			for _, s := range all {
				require.NoError(t, s.stdin.Close())
			}
			for _, s := range all {
				e, err := s.next()
				require.NoError(t, err)
				require.Equal(t, "standing", e.Event)
				s.since = e.StartNS
				if s.state == "sleep" {
					asleepIn(t, s.pid(), e.TID, sleepCalls...)
				}
			}
			if len(all) == 0 {
				return
			}
			time.Sleep(3 * usualThreshold()) // all are well over the threshold
			got := do(t, 0, args...)
			require.Equal(t, 0, got.status, got.stderr)
			var d model.Dump
			require.NoError(t, json.Unmarshal([]byte(got.stdout), &d))
			// A thread that runs may not come to rest while it is read: that depends on the machine. One that sleeps does.
			delete(d.Lost, "stacks_torn")
			assert.Empty(t, d.Lost)
			for _, s := range all {
				t.Run(s.loop+"/"+s.state, func(t *testing.T) {
					at := slices.IndexFunc(d.Processes, func(p model.DumpProcess) bool { return p.PID == s.pid() })
					require.GreaterOrEqual(t, at, 0)
					require.Len(t, d.Processes[at].Loops, 1, "%+v", d.Processes[at].Threads)
					l := d.Processes[at].Loops[0]
					assert.Equal(t, truth.Loops[s.loop], l.Loop)
					state, causes := model.StateBlocked, []model.Cause{model.CauseSleep}
					switch s.state {
					case "idle":
						state, causes = model.StateIdle, []model.Cause{""}
					case "spin": // with no CPU for a while it cannot be told
						causes = []model.Cause{model.CauseCPU, model.CauseUnknown}
					case "gil":
						causes = []model.Cause{model.CauseGIL}
					}
					assert.Equal(t, state, l.State)
					assert.Contains(t, causes, l.Cause)
					switch s.state {
					case "idle", "gil": // who waits for the GIL is not to blame
						assert.Nil(t, l.Culprit)
					default:
						if assert.NotNil(t, l.Culprit) {
							assert.Equal(t, "stand", l.Culprit.Function)
						}
					}
					looks++
					if l.Torn {
						torn++
						assert.Contains(t, []string{"spin", "gil"}, s.state, "it sleeps")
					}
					if l.ForNS == nil && s.state == "idle" {
						forgotten++ // the kernel forgets since when a thread sleeps that it moves to another CPU
					} else if assert.NotNil(t, l.ForNS) {
						assert.LessOrEqual(t, *l.ForNS, d.TakenNS+d.TookNS-s.since)
					}
				})
			}
		})
	}
	assert.LessOrEqual(t, 5*forgotten, looks, "loops of which nobody knows since when")
	assert.LessOrEqual(t, 10*torn, looks, "stacks that did not come to rest")
	for loop := range truth.Loops {
		if loop != "curio" { // in no package
			assert.Positive(t, standing[loop], loop)
		}
	}
}
