// SPDX-License-Identifier: Apache-2.0

package load

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/testpython"
)

func TestServer(t *testing.T) {
	for _, python := range testpython.All(t) {
		t.Run(python.Name, func(t *testing.T) {
			s, err := StartServer(python.Command)
			require.NoError(t, err)
			cost, err := s.Request(103, 4)
			require.NoError(t, err)
			assert.Equal(t, 103, cost.Requests)
			assert.Positive(t, cost.PerRequest())
			assert.Less(t, cost.PerRequest(), 100*time.Millisecond)
			require.NoError(t, s.Close())
			_, err = s.Request(1, 1)
			assert.Error(t, err, "a server that is gone is an error")
		})
	}
}

func TestCrowd(t *testing.T) {
	python := testpython.All(t)[0]
	c, err := StartCrowd(python.Command, 3, 2, 50)
	require.NoError(t, err)
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", c.PID(), c.PID()))
	require.NoError(t, err)
	pids := strings.Fields(string(children))
	require.Len(t, pids, 3)
	for _, pid := range pids {
		threads, err := os.ReadDir("/proc/" + pid + "/task")
		require.NoError(t, err)
		assert.Len(t, threads, 2)
	}
	require.NoError(t, c.Close())
	for _, pid := range pids {
		assert.NoDirExists(t, "/proc/"+pid)
	}
}

func TestMany(t *testing.T) {
	python := testpython.All(t)[0]
	for _, burst := range []time.Duration{0, time.Millisecond} {
		c, err := StartMany(python.Command, 9, burst, 20*time.Millisecond)
		require.NoError(t, err)
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", c.PID(), c.PID()))
		require.NoError(t, err)
		pids := strings.Fields(string(children))
		require.Len(t, pids, 9)
		for _, pid := range pids {
			own, err := os.ReadFile("/proc/" + pid + "/cmdline")
			require.NoError(t, err)
			assert.Contains(t, string(own), "one", "each is started anew")
		}
		require.NoError(t, c.Close())
		for _, pid := range pids {
			assert.NoDirExists(t, "/proc/"+pid)
		}
	}
}
