// SPDX-License-Identifier: Apache-2.0

package testpython

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// Program is a started interpreter. It is killed when the test ends.
type Program struct {
	Cmd    *exec.Cmd
	PID    int
	Stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr *tail
	exited chan struct{}
}

// Start runs cmd, which Command has made, until the test ends.
func Start(t testing.TB, cmd *exec.Cmd) *Program {
	t.Helper()
	p := &Program{Cmd: cmd, stderr: &tail{}, exited: make(chan struct{})}
	cmd.Stderr = p.stderr
	var err error
	if p.Stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	// A pipe of our own: the one of StdoutPipe is closed by Wait, which runs at once here.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = w
	p.stdout = bufio.NewReaderSize(r, 1<<16)
	if err := cmd.Start(); err != nil {
		_, _ = r.Close(), w.Close()
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	_ = w.Close()
	p.PID = cmd.Process.Pid
	go func() { defer close(p.exited); _ = cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-p.exited
		_ = r.Close()
	})
	return p
}

// ReadLine returns the next line the program prints, without its end. It fails the test when
// the program ends first or says nothing for long.
func (p *Program) ReadLine(t testing.TB) string {
	t.Helper()
	type result struct {
		line string
		err  error
	}
	ch := make(chan result, 1)
	go func() {
		line, err := p.stdout.ReadString('\n')
		ch <- result{line, err}
	}()
	select {
	case r := <-ch:
		if r.err != nil {
			t.Fatalf("%s ended early: %v\n%s", p.Cmd.Path, r.err, p.stderr.String())
		}
		return strings.TrimSuffix(r.line, "\n")
	case <-time.After(patience):
		t.Fatalf("%s printed nothing\n%s", p.Cmd.Path, p.stderr.String())
		return ""
	}
}

// ReadAll returns what the program prints until it ends. It fails the test when that takes long.
func (p *Program) ReadAll(t testing.TB) string {
	t.Helper()
	ch := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(p.stdout)
		ch <- string(b)
	}()
	select {
	case text := <-ch:
		return text
	case <-time.After(patience):
		t.Fatalf("%s does not end\n%s", p.Cmd.Path, p.stderr.String())
		return ""
	}
}

// Exited is closed when the program has ended.
func (p *Program) Exited() <-chan struct{} { return p.exited }

// tail keeps the beginning of what a program wrote to stderr.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (w *tail) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if room := 1<<16 - len(w.b); room > 0 {
		w.b = append(w.b, p[:min(room, len(p))]...)
	}
	return len(p), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.b)
}
