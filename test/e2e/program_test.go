// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/test/truth"
)

// stage is where programs run: their source in every tree, and what they share.
type stage struct {
	dirs map[string]string // by Interp.Root, the directory of the programs as seen from outside
	turn *os.File          // programs lock it to compute one at a time
	proc *os.File          // trees have no /proc of their own
	// waits writes down when the programs were outside their waits, nil on a stage not traced.
	waits *waits
}

func newStage(t testing.TB) *stage {
	t.Helper()
	s := &stage{dirs: map[string]string{}}
	var err error
	s.turn, err = os.CreateTemp(t.TempDir(), "turn")
	require.NoError(t, err)
	s.proc, err = os.Open("/proc")
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = s.turn.Close(), s.proc.Close() })
	return s
}

// traced has the kernel's tracer follow all programs that are started from now on.
func (s *stage) traced(t testing.TB) *stage {
	t.Helper()
	s.waits = newWaits(t)
	return s
}

// leftovers is the directory, beside the programs, that they take for /tmp: many are killed before they could clean up.
const leftovers = "tmp"

// install writes the programs where python can see them.
func (s *stage) install(t testing.TB, python testpython.Interp) {
	t.Helper()
	if s.dirs[python.Root] != "" {
		return
	}
	dir, err := os.MkdirTemp(filepath.Join("/", python.Root, "tmp"), "loopwatch-e2e-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, truth.Write(dir))
	require.NoError(t, os.Mkdir(filepath.Join(dir, leftovers), 0o755))
	require.NoError(t, os.Chmod(filepath.Join(dir, leftovers), 0o777|os.ModeSticky))
	s.dirs[python.Root] = dir
}

// compile spares programs that are going to run on python the time to compile what they import.
func (s *stage) compile(t testing.TB, python testpython.Interp) {
	t.Helper()
	inside, err := s.inside(python)
	require.NoError(t, err)
	out, err := python.Command("-m", "compileall", "-q", inside).CombinedOutput()
	require.NoError(t, err, "%s: %s", python.Name, out)
}

// inside is where python sees the programs.
func (s *stage) inside(python testpython.Interp) (string, error) {
	inside, err := filepath.Rel(filepath.Join("/", python.Root), s.dirs[python.Root])
	return filepath.Join("/", inside), err
}

// program is a running truth program.
type program struct {
	python testpython.Interp
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	lines  *bufio.Scanner
	stderr bytes.Buffer
	output *os.File
	waits  *waits // of its stage
}

var errAbsent = errors.New("not installed")

// start runs one of the truth programs. The caller ends it by wait or kill.
func (s *stage) start(python testpython.Interp, name string, args ...string) (*program, error) {
	cmd, err := s.command(python, name, args...)
	if err != nil {
		return nil, err
	}
	return s.startCommand(python, cmd)
}

// command prepares a run of one of the truth programs.
func (s *stage) command(python testpython.Interp, name string, args ...string) (*exec.Cmd, error) {
	inside, err := s.inside(python)
	if err != nil {
		return nil, err
	}
	cmd := python.Command(append([]string{"-W", "ignore", filepath.Join(inside, name)}, args...)...)
	cmd.Env = append(cmd.Env, "TMPDIR="+filepath.Join(inside, leftovers))
	return cmd, nil
}

// startCommand starts what command has prepared.
func (s *stage) startCommand(python testpython.Interp, cmd *exec.Cmd) (*program, error) {
	var err error
	p := &program{python: python, cmd: cmd, waits: s.waits}
	p.cmd.ExtraFiles = []*os.File{s.turn, s.proc} // turn.TOKEN, record.PROC
	p.cmd.Stderr = &p.stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	// A pipe of our own: that of StdoutPipe is closed by Wait, whoever still reads.
	var write *os.File
	if p.output, write, err = os.Pipe(); err != nil {
		return nil, err
	}
	defer write.Close()
	p.cmd.Stdout = write
	p.lines = bufio.NewScanner(p.output)
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(err, p.output.Close())
	}
	if s.waits != nil {
		if err := s.waits.follow(p.pid()); err != nil {
			p.kill()
			return nil, err
		}
	}
	// A program that hangs must not hang the tests. An hour is more than any takes on the busiest machine.
	time.AfterFunc(time.Hour, func() { _ = p.cmd.Process.Kill() })
	return p, nil
}

func (p *program) pid() int { return p.cmd.Process.Pid }

// line returns the next line of the program's output.
func (p *program) line() ([]byte, error) {
	if !p.lines.Scan() {
		err := errors.Join(p.lines.Err(), p.wait())
		return nil, fmt.Errorf("program ended early: %w\n%s", err, p.stderr.Bytes())
	}
	return p.lines.Bytes(), nil
}

// next returns the next entry of the program's log.
func (p *program) next() (truth.Entry, error) {
	line, err := p.line()
	if err != nil {
		return truth.Entry{}, err
	}
	return truth.Parse(line)
}

// ready waits until the program's loop runs. errAbsent means that it has none of that kind.
func (p *program) ready() error {
	entry, err := p.next()
	switch {
	case err != nil:
		return err
	case entry.Event == "absent":
		return errors.Join(errAbsent, p.wait())
	case entry.Event != "ready":
		return fmt.Errorf("program said %+v instead of ready", entry)
	}
	return nil
}

// play lets the program block its loop and returns the log, "done" at its end.
func (p *program) play() ([]truth.Entry, error) {
	if err := p.stdin.Close(); err != nil {
		return nil, err
	}
	var log []truth.Entry
	for {
		entry, err := p.next()
		if err != nil {
			return nil, err
		}
		log = append(log, entry)
		if entry.Event == "done" {
			return log, p.wait()
		}
	}
}

// logOf reads the log of a program that is not truth.Entry's, up to the entry that is the end.
func logOf[E any](t *testing.T, p *program, end func(E) bool) (log []E) {
	t.Helper()
	for {
		line, err := p.line()
		require.NoError(t, err)
		var e E
		require.NoError(t, json.Unmarshal(line, &e))
		if end(e) {
			return log
		}
		log = append(log, e)
	}
}

// wait collects the program after it has ended.
func (p *program) wait() error {
	err := p.cmd.Wait()
	_ = p.output.Close()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, p.stderr.Bytes())
	}
	return nil
}

// kill ends the program in the middle of what it does.
func (p *program) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.wait()
}

// run starts a program that must come up, and kills it when the test ends.
func (s *stage) run(t testing.TB, python testpython.Interp, name string, args ...string) *program {
	t.Helper()
	s.install(t, python)
	p, err := s.start(python, name, args...)
	require.NoError(t, err)
	t.Cleanup(p.kill)
	return p
}
