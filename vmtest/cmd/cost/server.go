// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// server is a Python HTTP server with a client whose connections stay open from run to run:
// accepting one costs as much as a request, and must not fall into some runs only.
type server struct {
	cmd         *exec.Cmd
	client      *http.Client
	url         string
	connections int
}

// startServer runs a program that prints the port it listens on, and then asks it for n
// answers over each connection, which warms it up: CPython rewrites code that runs often.
func startServer(python, program string, connections, n int) (*server, error) {
	cmd := exec.Command(python, program)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", python, err)
	}
	s := &server{cmd: cmd, connections: connections, client: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: connections, DisableCompression: true},
	}}
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the server's port: %w", err), s.close())
	}
	s.url = "http://127.0.0.1:" + strings.TrimSpace(port) + "/items"
	if err := s.request(n * connections); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *server) pid() int { return s.cmd.Process.Pid }

func (s *server) close() error {
	err := s.cmd.Process.Kill()
	_ = s.cmd.Wait() // says that it was killed
	return err
}

// request sends n requests over all connections, each waiting for its answer before the next.
func (s *server) request(n int) error {
	failed := make(chan error, s.connections)
	for i := range s.connections {
		share := n / s.connections
		if i < n%s.connections {
			share++
		}
		go func() {
			var err error
			for range share {
				err = errors.Join(err, s.get())
			}
			failed <- err
		}()
	}
	var err error
	for range s.connections {
		err = errors.Join(err, <-failed)
	}
	return err
}

func (s *server) get() error {
	answer, err := s.client.Get(s.url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the server answers %s", answer.Status)
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

// usage is what the server has used since it began.
type usage struct {
	cpu    time.Duration
	sleeps int64 // how often its main thread gave up the CPU by itself
}

func (s *server) usage() (usage, error) {
	// MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED), include/linux/posix-timers.h of Linux 5.10
	const clock = 2
	var now unix.Timespec
	if err := unix.ClockGettime(int32(^s.pid())<<3|clock, &now); err != nil {
		return usage{}, fmt.Errorf("CPU clock of the server: %w", err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid()))
	if err != nil {
		return usage{}, err
	}
	const name = "\nvoluntary_ctxt_switches:"
	u := usage{cpu: time.Duration(now.Nano())}
	_, rest, ok := strings.Cut(string(status), name)
	if !ok {
		return usage{}, fmt.Errorf("no %s of the server", strings.TrimSpace(name))
	}
	_, err = fmt.Sscan(rest, &u.sleeps)
	return u, err
}
