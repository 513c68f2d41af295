// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/model"
)

// threshold is what counts as a block: low, so that much does.
const threshold = 20 * time.Millisecond

// subject is the loopwatch that is judged.
type subject struct {
	cmd    *exec.Cmd
	room   *room // with little memory, nil: there is none
	noRoom error // why
	ready  chan struct{}
	exited chan error
	read   sync.WaitGroup
	ended  sync.WaitGroup

	mu      sync.Mutex
	follow  map[int]bool // processes whose blocks are kept
	blocks  []model.Block
	printed int64            // blocks of all
	kept    map[string]int64 // what it said last that it keeps
	tail    []string         // of its stderr
}

// command makes a command of loopwatch in a session of its own, in which it is one process.
func (o *options) command(args ...string) *exec.Cmd {
	cmd := exec.Command(o.binary, args...)
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Pdeathsig: unix.SIGKILL}
	return cmd
}

func startSubject(o options) (*subject, error) {
	args := []string{"watch", "--format", "jsonl", "--threshold", threshold.String(), "--log-level", "debug"}
	if o.only {
		args = append(args, "--pid", strconv.Itoa(os.Getpid()), "--children")
	}
	s := &subject{cmd: o.command(args...), ready: make(chan struct{}), exited: make(chan error, 1), follow: make(map[int]bool)}
	s.room, s.noRoom = newRoom()
	s.cmd = s.room.inside(s.cmd)
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.read.Go(func() { s.readBlocks(stdout) })
	s.read.Go(func() { s.readLog(stderr) })
	s.ended.Go(func() {
		s.read.Wait()
		s.exited <- s.cmd.Wait()
	})
	select {
	case <-s.ready:
		return s, nil
	case err := <-s.exited:
		return nil, fmt.Errorf("loopwatch ended: %w: %s", err, strings.Join(s.tail, "\n"))
	}
}

func (s *subject) pid() int { return s.cmd.Process.Pid }

// keepBlocks has the blocks of a process kept.
func (s *subject) keepBlocks(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.follow[pid] = true
}

// of returns the blocks of a process that have ended.
func (s *subject) of(pid int) (out []model.Block) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.blocks {
		if b.PID == pid && !b.Ongoing {
			out = append(out, b)
		}
	}
	return out
}

// figures are what loopwatch said last that it keeps and has lost.
func (s *subject) figures() map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.kept)
}

func (s *subject) readBlocks(from io.Reader) {
	decoder := json.NewDecoder(from)
	for {
		var b model.Block
		if decoder.Decode(&b) != nil {
			_, _ = io.Copy(io.Discard, from)
			return
		}
		s.mu.Lock()
		s.printed++
		if s.follow[b.PID] {
			b.Stacks = nil
			s.blocks = append(s.blocks, b)
		}
		s.mu.Unlock()
	}
}

// field is a number in a line of the log.
var field = regexp.MustCompile(` ([a-z_0-9]+)=([0-9]+)\b`)

const tailLines = 10

func (s *subject) readLog(from io.Reader) {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "watching ") {
			close(s.ready)
		}
		s.mu.Lock()
		if strings.Contains(line, `msg="what is kept"`) {
			s.kept = make(map[string]int64)
			for _, m := range field.FindAllStringSubmatch(line, -1) {
				s.kept[m[1]], _ = strconv.ParseInt(m[2], 10, 64)
			}
		} else if !strings.Contains(line, "level=INFO") {
			s.tail = append(s.tail, line)
			s.tail = s.tail[max(len(s.tail)-tailLines, 0):]
		}
		s.mu.Unlock()
	}
	_, _ = io.Copy(io.Discard, from)
}

// lostLine is what loopwatch says in the end.
var lostLine = regexp.MustCompile(`([0-9,]+) events? and [0-9,]+ stacks? lost on the way`)

// stop ends loopwatch as a user does, and returns how many events it says were lost.
func (s *subject) stop() (lost int64, err error) {
	if err := s.cmd.Process.Signal(unix.SIGINT); err != nil {
		return 0, err
	}
	if err := <-s.exited; err != nil {
		return 0, fmt.Errorf("loopwatch did not end well: %w: %s", err, strings.Join(s.tail, "\n"))
	}
	for _, line := range s.tail {
		if strings.Contains(line, "not printed") {
			return 0, errors.New("the soak reads too slowly: " + line)
		}
		if m := lostLine.FindStringSubmatch(line); m != nil {
			if lost, err = strconv.ParseInt(strings.ReplaceAll(m[1], ",", ""), 10, 64); err != nil {
				return 0, err
			}
		}
	}
	return lost, nil
}

// close ends it in any case.
func (s *subject) close() error {
	_ = s.cmd.Process.Kill()
	s.ended.Wait()
	return s.room.close()
}
