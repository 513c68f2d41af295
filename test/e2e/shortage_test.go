// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/testpython"
)

// TestShortages: a dump of a FastAPI application, and a profile of awaits, say in their first line what is short: sessions, of which it has two, or with
// them given back the threads that anyio has for functions that are not asynchronous.
func TestShortages(t *testing.T) {
	dir := t.TempDir()
	source, err := os.ReadFile("testdata/short.py")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "short.py"), source, 0o644))
	socket := filepath.Join(dir, "socket")
	python := testpython.Interp{Path: "/usr/bin/python3"} // Debian's, for which FastAPI is packaged
	cmd := python.Command("-W", "ignore", "-m", "uvicorn", "short:app", "--uds", socket, "--log-level", "error")
	cmd.Dir = dir
	server := testpython.Start(t, cmd)
	require.Eventually(t, func() bool {
		c, err := net.Dial("unix", socket)
		if err == nil {
			c.Close()
		}
		return err == nil
	}, patience, 50*time.Millisecond)

	ask := func(path string, times int) {
		client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}}}
		for range times {
			go func() {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://app"+path, nil)
				if err == nil {
					_, _ = client.Do(request) //nolint:bodyclose // it never answers
				}
			}()
		}
	}
	look := func() *model.DumpProcess {
		got := do(t, 0, "dump", "-f", "json", itoa(server.PID))
		require.Zero(t, got.status, got.stderr)
		var d model.Dump
		require.NoError(t, json.Unmarshal([]byte(got.stdout), &d))
		require.Len(t, d.Processes, 1)
		return &d.Processes[0]
	}
	waiting := func(on model.WaitKind, place string, queued bool) (out model.Wait) {
		for _, l := range look().Loops {
			for _, w := range l.Waits {
				if w.On == on && w.Queued == queued && w.Place != nil && strings.HasSuffix(w.Place.Function, place) {
					out = w
				}
			}
		}
		return out
	}
	first := func(command string, args ...string) string {
		got := do(t, 0, append([]string{command, "-p", itoa(server.PID)}, args...)...)
		require.Zero(t, got.status, got.stderr)
		line, _, _ := strings.Cut(got.stdout, "\n")
		return line
	}

	ask("/users", 2+17)
	ask("/cached", 1+5)
	require.Eventually(t, func() bool {
		return waiting(model.WaitQueue, "acquire", false).Tasks == 17 && waiting(model.WaitLock, "cached", false).Tasks == 5
	}, patience, 50*time.Millisecond)
	assert.Regexp(t, `^17 tasks wait for an item of a queue at .*acquire short.py:18, in uvicorn\[\d+\]; no loop is blocked$`, first("dump"))
	assert.Regexp(t, `^Tasks waited most for an item of a queue at .*acquire short.py:18: 77 % of .* task-seconds, 17 at once at most\.$`, first("waits", "-d", "1s"))
	lock := waiting(model.WaitLock, "cached", false)
	require.NotNil(t, lock.Holder)
	assert.Equal(t, []any{"cached", 42}, []any{lock.Holder.Frames[0].Function, lock.Holder.Frames[0].Line})
	assert.False(t, lock.Consumers)

	const threads = 40 // what anyio has by default
	ask("/report", threads+23)
	require.Eventually(t, func() bool { return waiting(model.WaitExecutor, "run_in_threadpool", true).Tasks == 23 }, patience, 50*time.Millisecond)
	assert.Regexp(t, `^23 calls wait for one of the 40 threads of the thread pool anyio, busy in report short.py:51, in uvicorn\[\d+\]; no loop is blocked$`, first("dump"))
	assert.Regexp(t, `^Tasks waited most for a free thread at .*run_in_threadpool .*: 51 % of .* task-seconds, 23 at once at most\.$`, first("waits", "-d", "1s"))
	pools := look().Executors
	require.Len(t, pools, 1)
	assert.Equal(t, []any{threads, threads, threads, 23}, []any{pools[0].Threads, *pools[0].Max, pools[0].Busy, *pools[0].Queued})
}
