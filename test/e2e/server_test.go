// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/test/judge"
	"github.com/loopwatch/loopwatch/test/truth"
)

// server is a web server of several processes, its application blocking on request.
type server struct {
	*program
	port int
}

// serve starts module's server of truth.Application; PORT and WORKER in args are filled in. It returns when a
// worker answers.
func serve(t *testing.T, module string, args ...string) *server {
	t.Helper()
	all := testpython.All(t)
	n := slices.IndexFunc(all, func(i testpython.Interp) bool { return i.Root == "" && has(t, i, module) && has(t, i, "uvicorn") })
	require.GreaterOrEqual(t, n, 0, "no interpreter of this machine has %s and uvicorn: apt-get install python3-uvicorn gunicorn", module)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := listener.Addr().(*net.TCPAddr).Port
	require.NoError(t, listener.Close())

	stage := newStage(t)
	stage.install(t, all[n])
	worker := "uvicorn.workers.UvicornWorker"
	if !has(t, all[n], "httptools") { // it is made for; Debian 11 does without
		worker = "uvicorn.workers.UvicornH11Worker"
	}
	for i := range args {
		args[i] = strings.NewReplacer("PORT", strconv.Itoa(port), "WORKER", worker).Replace(args[i])
	}
	cmd := all[n].Command(append([]string{"-W", "ignore", "-m", module}, args...)...)
	cmd.Dir = stage.dirs[""]
	p, err := stage.startCommand(all[n], cmd)
	require.NoError(t, err)
	s := &server{p, port}
	t.Cleanup(func() {
		for _, child := range s.workers(t) {
			_ = unix.Kill(child, unix.SIGKILL)
		}
		p.kill()
		if t.Failed() {
			t.Logf("%s said:\n%s", module, &p.stderr)
		}
	})
	require.Eventually(t, func() bool { _, err := s.get("/"); return err == nil }, patience, 50*time.Millisecond)
	return s
}

// get asks for a page and returns what answered: a process number.
func (s *server) get(path string) (int, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	answer, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d%s", s.port, path))
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(body))
}

// workers returns the processes the server has started.
func (s *server) workers(t testing.TB) []int {
	t.Helper()
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", s.pid(), s.pid()))
	if err != nil {
		return nil // ended
	}
	var pids []int
	for _, word := range strings.Fields(string(children)) {
		pid, err := strconv.Atoi(word)
		require.NoError(t, err)
		pids = append(pids, pid)
	}
	return pids
}

// blockEach has the server's workers blocked a few times and returns how often each was.
func (s *server) blockEach(t *testing.T) map[int]int {
	t.Helper()
	blocked := map[int]int{}
	for range 6 {
		pid, err := s.get("/block")
		require.NoError(t, err)
		require.NotEqual(t, s.pid(), pid, "a worker answers")
		blocked[pid]++
	}
	return blocked
}

// found asserts that each block is in the report, in its worker and where it happened.
func found(t *testing.T, rep *model.Report, blocked map[int]int) {
	t.Helper()
	for pid, times := range blocked {
		blocks := slices.DeleteFunc(judge.BlocksOf(rep, pid), func(b model.Block) bool { // starting up blocks, too
			return b.Culprit == nil || b.Culprit.Function != "blocking"
		})
		assert.Len(t, blocks, times, "blocks of worker %d", pid)
		for _, b := range blocks {
			assert.Equal(t, model.CauseSleep, b.Cause)
			assert.Equal(t, truth.Application, b.Culprit.File[strings.LastIndex(b.Culprit.File, "/")+1:])
		}
		loops := loopsOf(rep, pid)
		if assert.Len(t, loops, 1) {
			assert.Contains(t, []string{"asyncio", "uvloop"}, loops[0].Loop)
		}
	}
}

// TestServersStartedLater: workers made by exec and by fork after the start are found.
func TestServersStartedLater(t *testing.T) {
	for _, test := range []struct {
		module string
		args   []string
	}{
		{"uvicorn", []string{"app:application", "--workers", "2", "--port", "PORT", "--log-level", "error"}},
		{"gunicorn", []string{"app:application", "-w", "2", "-k", "WORKER", "-b", "127.0.0.1:PORT", "--log-level", "error"}},
	} {
		t.Run(test.module, func(t *testing.T) {
			w := watch(t, "--duration", "1h")
			s := serve(t, test.module, test.args...)
			time.Sleep(settling)
			blocked := s.blockEach(t)
			found(t, w.stop(t), blocked)
		})
	}
}

// TestChildren: with --children a worker is watched that is forked while loopwatch watches.
func TestChildren(t *testing.T) {
	s := serve(t, "gunicorn", "app:application", "-w", "1", "-k", "WORKER", "-b", "127.0.0.1:PORT", "--log-level", "error")
	w := watch(t, "--pid", itoa(s.pid()), "--children", "--duration", "1h")
	blocked := s.blockEach(t)
	old := s.workers(t)
	require.Len(t, old, 1)
	require.NoError(t, unix.Kill(old[0], unix.SIGKILL))
	require.Eventually(t, func() bool {
		now := s.workers(t)
		if len(now) != 1 || now[0] == old[0] {
			return false
		}
		_, err := s.get("/")
		return err == nil
	}, patience, 50*time.Millisecond, "gunicorn replaces its worker")
	time.Sleep(settling)
	later := s.blockEach(t)
	require.NotContains(t, later, old[0])
	rep := w.stop(t)
	found(t, rep, blocked)
	found(t, rep, later)
}
