// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func never() bool  { return false }
func always() bool { return true }

func TestPatience(t *testing.T) {
	short := newPatience(time.Millisecond, time.Hour)
	assert.ErrorContains(t, short.hangs(t.Context(), os.Getpid(), never), "did not boot within 1ms")
	quiet := newPatience(time.Hour, time.Millisecond)
	assert.ErrorContains(t, quiet.hangs(t.Context(), os.Getpid(), always), "said nothing for 1ms")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.NoError(t, newPatience(time.Hour, time.Hour).hangs(ctx, os.Getpid(), never))
}

// TestPatienceWithAGuestThatSpeaks: a guest may take as long as it likes while it says something.
func TestPatienceWithAGuestThatSpeaks(t *testing.T) {
	var heard bytes.Buffer
	p := newPatience(time.Hour, time.Millisecond)
	guest := p.listen(&heard)
	looks := 0
	// Its silence is always too long when it is looked at, but for the word that comes just before.
	p.look = func(context.Context) bool {
		looks++
		if looks < 20 {
			_, err := guest.Write([]byte("word"))
			require.NoError(t, err)
		}
		time.Sleep(2 * p.silence)
		return true
	}
	assert.ErrorContains(t, p.hangs(t.Context(), os.Getpid(), always), "said nothing")
	assert.GreaterOrEqual(t, looks, 20)
	assert.Equal(t, 19*4, heard.Len())
}

// TestPatienceWithABusyHost: the time in which a guest waits for a CPU does not count.
func TestPatienceWithABusyHost(t *testing.T) {
	var here unix.CPUSet
	require.NoError(t, unix.SchedGetaffinity(0, &here))
	var one unix.CPUSet
	for cpu := 0; one.Count() == 0; cpu++ {
		if here.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	// Two that compute on one CPU each wait for half of the time.
	var pids []int
	for range 2 {
		cmd := exec.Command("sh", "-c", "while :; do :; done")
		require.NoError(t, cmd.Start())
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		require.NoError(t, unix.SchedSetaffinity(cmd.Process.Pid, &one))
		pids = append(pids, cmd.Process.Pid)
	}
	assert.Eventually(t, func() bool { return waitedForCPU(pids[0]) > 100*time.Millisecond }, time.Minute, 10*time.Millisecond)
	assert.Zero(t, waitedForCPU(-1))
}
