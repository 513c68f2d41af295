// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/testpython"
)

// projectHost is what all of the projects share.
type projectHost struct {
	python testpython.Interp
	stage  *stage
	gate   string           // a file that is there once the loops are watched
	peer   *httptest.Server // what the applications ask

	mu   sync.Mutex
	word string // what the next page to be crawled says
	told bool   // it has been
}

// newHost finds the interpreter of the distribution, whose packages the projects are, and starts a server that is slow where
// it is asked for /slow.
func newHost(t *testing.T) *projectHost {
	t.Helper()
	all := testpython.All(t)
	n := slices.IndexFunc(all, func(i testpython.Interp) bool { return i.Root == "" && has(t, i, "uvicorn") })
	if n < 0 {
		require.Empty(t, os.Getenv("CI"), "no interpreter of this machine has uvicorn: .ci/deps test")
		t.Skip("no interpreter of this machine has uvicorn: .ci/deps test")
	}
	h := &projectHost{python: all[n], stage: newStage(t).traced(t)}
	h.gate = filepath.Join(publicDir(t), "watched")
	h.peer = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/slow":
			time.Sleep(plantedFor())
		case strings.HasPrefix(r.URL.Path, "/crawl/"):
			time.Sleep(usualThreshold() / 2)
			_, _ = io.WriteString(w, h.crawled())
		}
	}))
	t.Cleanup(func() {
		h.peer.CloseClientConnections()
		h.peer.Close()
	})
	return h
}

// installed tells which of the modules that the projects need there are. To import them would take long.
func (h *projectHost) installed(t *testing.T) map[string]bool {
	t.Helper()
	args := []string{"-c", "import importlib.util, sys; print(*filter(importlib.util.find_spec, sys.argv[1:]))"}
	for _, p := range projects {
		args = append(args, p.needs...)
	}
	out, err := h.python.Command(args...).Output()
	require.NoError(t, err)
	there := make(map[string]bool)
	for _, module := range strings.Fields(string(out)) {
		there[module] = true
	}
	return there
}

// plantedFor is how long a planted block takes.
func plantedFor() time.Duration { return 5 * usualThreshold() / 2 }

// watched tells the projects that have no clients that they are watched.
func (h *projectHost) watched(t *testing.T) {
	t.Helper()
	require.NoError(t, os.WriteFile(h.gate, nil, 0o644))
}

// crawled returns the text of the next page.
func (h *projectHost) crawled() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	word := h.word
	h.word, h.told = "", true
	return word
}

// startedProject is a project with the processes it has started.
type startedProject struct {
	project
	host  *projectHost
	waits *waits
	dir   string // all that is the test's
	port  int
	cmd   *exec.Cmd
	done  chan struct{}
	pids  []int
}

func (p *startedProject) logFile() string { return filepath.Join(p.dir, "log") }

// said is what the project has written.
func (p *startedProject) said() string {
	text, _ := os.ReadFile(filepath.Join(p.dir, "output"))
	return string(text[max(0, len(text)-4096):])
}

func (p *startedProject) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// start starts a project in a virtual environment with the packages of the system, and does not wait until it serves.
func (h *projectHost) start(t *testing.T, p project) *startedProject {
	t.Helper()
	s := &startedProject{project: p, host: h, waits: h.stage.waits, dir: publicDir(t), port: freePort(t), done: make(chan struct{})}
	venv, app := filepath.Join(s.dir, "venv"), filepath.Join(s.dir, "app")
	site := makeVenv(t, h.python, venv)
	recorder, err := os.ReadFile("testdata/projects/planted.py")
	require.NoError(t, err)
	source := os.DirFS(filepath.Join("testdata/projects", p.source))
	require.NoError(t, os.WriteFile(filepath.Join(site, "planted.py"), recorder, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "gunicorn.conf.py"), []byte("wsgi_app = 'shop.wsgi:app'\nworker_class = 'eventlet'\n"), 0o644))
	for _, dir := range []string{app, filepath.Join(s.dir, "queue")} {
		require.NoError(t, os.MkdirAll(dir, 0o755))
	}
	if p.installed {
		require.NoError(t, os.CopyFS(site, source))
		installAs(t, site, p.source)
	} else {
		require.NoError(t, os.CopyFS(app, source))
	}
	words := slices.Clone(p.command)
	for i := range words {
		words[i] = strings.NewReplacer("PORT", strconv.Itoa(s.port), "DIR", s.dir).Replace(words[i])
	}
	words[0] = filepath.Join(venv, "bin", words[0])
	if p.entry != "" {
		writeEntry(t, words[0], venv, p.entry)
	}
	s.cmd = exec.Command(words[0], words[1:]...)
	s.cmd.Dir = app
	s.cmd.Env = append(s.environment(venv), p.env...)
	s.run(t)
	return s
}

// makeVenv makes what "python3 -m venv --system-site-packages --without-pip" does, quickly, and returns where packages are
// installed in it.
func makeVenv(t *testing.T, python testpython.Interp, dir string) (site string) {
	t.Helper()
	site = filepath.Join(dir, fmt.Sprintf("lib/python3.%d/site-packages", python.Minor))
	for _, dir := range []string{site, filepath.Join(dir, "bin")} {
		require.NoError(t, os.MkdirAll(dir, 0o755))
	}
	config := fmt.Sprintf("home = %s\ninclude-system-site-packages = true\nversion = %s\n", filepath.Dir(python.Path), python.Version)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "pyvenv.cfg"), []byte(config), 0o644))
	for _, name := range []string{"python", "python3"} {
		require.NoError(t, os.Symlink(python.Path, filepath.Join(dir, "bin", name)))
	}
	return site
}

// installAs writes what an installer leaves beside the files of a package.
func installAs(t *testing.T, site, source string) {
	t.Helper()
	var record strings.Builder
	files, err := filepath.Glob(filepath.Join("testdata/projects", source, "*", "*.py"))
	require.NoError(t, err)
	for _, file := range files {
		name, err := filepath.Rel(filepath.Join("testdata/projects", source), file)
		require.NoError(t, err)
		fmt.Fprintf(&record, "%s,,\n", name)
	}
	info := filepath.Join(site, "shop-1.0.dist-info")
	require.NoError(t, os.Mkdir(info, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(info, "RECORD"), []byte(record.String()), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(info, "METADATA"), []byte("Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n"), 0o644))
}

// writeEntry writes the script of an entry point, as pip does.
func writeEntry(t *testing.T, path, venv, entry string) {
	t.Helper()
	module, function, _ := strings.Cut(entry, ":")
	name, _, _ := strings.Cut(function, ".")
	text := fmt.Sprintf(`#!%s/bin/python3
# -*- coding: utf-8 -*-
import re
import sys
from %s import %s
if __name__ == '__main__':
    sys.argv[0] = re.sub(r'(-script\.pyw|\.exe)?$', '', sys.argv[0])
    sys.exit(%s())
`, venv, module, name, function)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o755))
}

func (p *startedProject) environment(venv string) []string {
	return []string{
		"PATH=" + venv + "/bin:/usr/bin:/bin", "HOME=" + p.dir, "LANG=C.UTF-8", "PYTHONUNBUFFERED=1", "PYTHONWARNINGS=ignore",
		"PLANTED_SECONDS=" + seconds(plantedFor()), "PLANTED_SLOW=" + p.host.peer.URL + "/slow", "PLANTED_LOG=" + p.logFile(),
		"PLANTED_GATE=" + p.host.gate, "SHOP_URL=" + p.host.peer.URL + "/crawl/", "SHOP_QUEUE=" + filepath.Join(p.dir, "queue"),
	}
}

// run starts the command, and ends all that it has started with the test.
func (p *startedProject) run(t *testing.T) {
	t.Helper()
	output, err := os.Create(filepath.Join(p.dir, "output"))
	require.NoError(t, err)
	defer output.Close()
	p.cmd.Stdout, p.cmd.Stderr = output, output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, p.cmd.Start())
	go func() { defer close(p.done); _ = p.cmd.Wait() }()
	t.Cleanup(func() {
		below, _ := process.Descendants([]int{p.cmd.Process.Pid})
		_ = unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL)
		for _, pid := range below {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		<-p.done
	})
	require.NoError(t, p.waits.follow(p.cmd.Process.Pid))
}

// list remembers the processes of the project, those that have blocked included.
func (p *startedProject) list(t *testing.T) {
	t.Helper()
	below, err := process.Descendants([]int{p.cmd.Process.Pid})
	require.NoError(t, err)
	p.pids = append(below, p.cmd.Process.Pid)
	for _, said := range p.log(t) {
		p.pids = append(p.pids, said.PID)
	}
}
