// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"net/url"
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
	command(t, h.python.Path, "-m", "venv", "--system-site-packages", "--without-pip", venv)
	site := filepath.Join(venv, fmt.Sprintf("lib/python3.%d/site-packages", h.python.Minor))
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

// request asks a project for something and waits for the answer.
type request func(*startedProject) error

// gets asks for some pages.
func gets(paths ...string) (out []request) {
	for _, path := range paths {
		out = append(out, func(p *startedProject) error {
			return fetch(fmt.Sprintf("http://127.0.0.1:%d%s", p.port, path), nil)
		})
	}
	return out
}

// proxies asks another server for a page, through the project.
func proxies(query string) request {
	return func(p *startedProject) error {
		return fetch(p.host.peer.URL+"/?"+query, &url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", p.port)})
	}
}

func fetch(page string, proxy *url.URL) error {
	transport := &http.Transport{DisableKeepAlives: true, Proxy: func(*http.Request) (*url.URL, error) { return proxy, nil }}
	client := http.Client{Transport: transport, Timeout: patience}
	answer, err := client.Get(page)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", page, answer.Status)
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

// says sends a message through a web socket and waits for the answer.
func says(path, text string) request {
	return func(p *startedProject) error {
		address := fmt.Sprintf("127.0.0.1:%d", p.port)
		c, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n", path, address)
		r := bufio.NewReader(c)
		answer, err := http.ReadResponse(r, nil)
		if err != nil {
			return err
		}
		if answer.StatusCode != http.StatusSwitchingProtocols {
			return fmt.Errorf("%s: %s", path, answer.Status)
		}
		frame := append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...) // masked by zeroes
		if _, err := c.Write(frame); err != nil {
			return err
		}
		_, err = io.ReadFull(r, make([]byte, 2+len(text)))
		return err
	}
}

// mails sends an e-mail.
func mails(to, body string) request {
	return func(p *startedProject) error {
		return smtp.SendMail(fmt.Sprintf("127.0.0.1:%d", p.port), nil, "test@example.org", []string{to + "@example.org"}, []byte("Subject: x\r\n\r\n"+body+"\r\n"))
	}
}

// connects asks for nothing.
func connects(p *startedProject) error {
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.port))
	if err != nil {
		return err
	}
	return c.Close()
}

// sends has celery call tasks, and waits until it has.
func sends(tasks ...string) request {
	return func(p *startedProject) error {
		before := len(p.lines())
		code := "from shop import tasks"
		for _, task := range tasks {
			code += "; tasks." + task + ".delay()"
		}
		cmd := exec.Command(filepath.Join(p.dir, "venv/bin/python3"), "-c", code)
		cmd.Env = p.cmd.Env
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		if tasks[0] == "greet" { // which blocks nothing
			return eventually(func() bool {
				left, _ := filepath.Glob(filepath.Join(p.dir, "queue", "*celery.msg"))
				return len(left) == 0
			})
		}
		return eventually(func() bool { return len(p.lines()) == before+len(tasks) })
	}
}

// crawls waits until a page that says something has been crawled, and what it has the spider do is done.
func crawls(word string) request {
	return func(p *startedProject) error {
		before := len(p.lines())
		p.host.mu.Lock()
		p.host.word, p.host.told = word, false
		p.host.mu.Unlock()
		return eventually(func() bool {
			p.host.mu.Lock()
			defer p.host.mu.Unlock()
			return p.host.told && (word == "" || len(p.lines()) > before)
		})
	}
}

// outputs waits for what a project writes.
func outputs(text string) request {
	return func(p *startedProject) error {
		return eventually(func() bool { return strings.Contains(p.said(), text) })
	}
}

// logs waits until so many blocks have happened.
func logs(n int) request {
	return func(p *startedProject) error { return eventually(func() bool { return len(p.lines()) >= n }) }
}

func (p *startedProject) lines() [][]byte {
	text, _ := os.ReadFile(p.logFile())
	return bytes.SplitAfter(bytes.TrimSpace(text), []byte("\n"))[:bytes.Count(text, []byte("\n"))]
}

func eventually(done func() bool) error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if done() {
			return nil
		}
	}
	return errors.New("it does not happen")
}
