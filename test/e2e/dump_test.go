// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/report"
	"github.com/loopwatch/loopwatch/internal/testpython"
)

// TestDump: what stands on the screen of a user whose loops are idle, asleep, waiting for a peer and waiting for the GIL.
// The tests of internal/snapshot hold each interpreter and each cause against the programs.
func TestDump(t *testing.T) {
	source, err := os.ReadFile("../../internal/snapshot/testdata/states.py")
	require.NoError(t, err)
	python := newest(t)
	pids := map[string]string{}
	args := []string{"dump"}
	for _, state := range []string{"idle", "sleep", "recv", "gil"} {
		p := testpython.Start(t, python.Command(python.Script(t, "states.py", string(source)), state))
		p.ReadLine(t) // it is there
		pids[state] = itoa(p.PID)
		args = append(args, itoa(p.PID))
	}
	time.Sleep(500 * time.Millisecond) // all are well over the threshold

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
	var d report.Dump
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &d))
	require.Len(t, d.Processes, 1)
	require.Len(t, d.Processes[0].Loops, 1)
	assert.Equal(t, report.CauseSleep, d.Processes[0].Loops[0].Cause)

	got = do(t, 0, "dump", itoa(os.Getpid()))
	assert.Equal(t, 1, got.status)
	assert.Empty(t, got.stdout)
	assert.Equal(t, 1, strings.Count(got.stderr, "\n"), got.stderr)
	assert.Contains(t, got.stderr, "not a Python process")
}
