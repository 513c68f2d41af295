// SPDX-License-Identifier: Apache-2.0

// Package load runs Python programs that keep event loops busy without blocking them: an HTTP
// server with a client that measures what a request costs it, and a crowd of loops that tick.
// Benchmarks of loopwatch call it and compare the figures with and without loopwatch watching.
package load

import (
	"bufio"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

//go:embed server.py
var serverProgram string

//go:embed loops.py
var loopsProgram string

//go:embed many.py
var manyProgram string

// Command prepares a run of a Python interpreter with arguments.
type Command func(args ...string) *exec.Cmd

// started is a program that runs until its standard input is closed or it is killed.
type started struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
}

// start runs program and returns the first line it prints.
func start(python Command, program string, args ...string) (*started, string, error) {
	cmd := python(append([]string{"-c", program}, args...)...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, "", err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	s := &started{cmd, stdin}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		_ = cmd.Process.Kill()
		return nil, "", fmt.Errorf("%s ended early: %w", cmd.Path, errors.Join(err, cmd.Wait()))
	}
	return s, strings.TrimSpace(line), nil
}

// PID is the process number of the program.
func (s *started) PID() int { return s.cmd.Process.Pid }

// Server is a running HTTP server with one asyncio loop.
type Server struct {
	*started
	address string
}

// StartServer starts the server. Close ends it.
func StartServer(python Command) (*Server, error) {
	s, line, err := start(python, serverProgram)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(line)
	if err != nil {
		_ = s.cmd.Process.Kill()
		return nil, fmt.Errorf("read the server's port: %w", errors.Join(err, s.cmd.Wait()))
	}
	return &Server{s, net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}, nil
}

// Close kills the server.
func (s *Server) Close() error {
	err := s.cmd.Process.Kill()
	_ = s.cmd.Wait() // says that it was killed
	return err
}

// Cost is what a number of requests took.
type Cost struct {
	Requests int
	CPU      time.Duration // of the server, all threads, user and system
	Elapsed  time.Duration
}

// PerRequest is the CPU time one request took the server.
func (c Cost) PerRequest() time.Duration { return c.CPU / time.Duration(c.Requests) }

// Request sends n requests over a number of connections kept open, each waiting for its
// answer before the next, and returns what they took.
func (s *Server) Request(n, connections int) (Cost, error) {
	clients := make([]*client, connections)
	for i := range clients {
		c, err := dial(s.address)
		if err != nil {
			return Cost{}, err
		}
		defer c.conn.Close()
		clients[i] = c
	}
	cpu, err := ProcessCPU(s.PID())
	if err != nil {
		return Cost{}, err
	}
	begin := time.Now()
	var wait sync.WaitGroup
	failures := make([]error, connections)
	for i, c := range clients {
		share := n / connections
		if i < n%connections {
			share++
		}
		wait.Go(func() {
			for range share {
				if failures[i] = c.request(); failures[i] != nil {
					return
				}
			}
		})
	}
	wait.Wait()
	elapsed := time.Since(begin)
	if err := errors.Join(failures...); err != nil {
		return Cost{}, err
	}
	after, err := ProcessCPU(s.PID())
	if err != nil {
		return Cost{}, err
	}
	return Cost{Requests: n, CPU: after - cpu, Elapsed: elapsed}, nil
}

// client is one connection kept open.
type client struct {
	conn   net.Conn
	reader *bufio.Reader
}

func dial(address string) (*client, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("reach the server: %w", err)
	}
	return &client{conn, bufio.NewReader(conn)}, nil
}

func (c *client) request() error {
	if _, err := io.WriteString(c.conn, "GET /items HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		return fmt.Errorf("send a request: %w", err)
	}
	answer, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return fmt.Errorf("read an answer: %w", err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return fmt.Errorf("read an answer: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the server answers %s", answer.Status)
	}
	return nil
}

// ProcessCPU returns the CPU time a process has used, by its CPU clock: exact to the
// nanosecond, where /proc/PID/stat counts in ticks of 10 ms.
func ProcessCPU(pid int) (time.Duration, error) {
	// MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED), include/linux/posix-timers.h
	const cpuclockSched = 2
	var now unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|cpuclockSched, &now); err != nil {
		return 0, fmt.Errorf("read the CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(now.Nano()), nil
}

// Crowd is a number of loops that tick.
type Crowd struct{ *started }

// StartCrowd starts processes times threads loops, each of which iterates rate times a
// second, and returns when all of them run. The processes are children of the one started.
func StartCrowd(python Command, processes, threads int, rate float64) (*Crowd, error) {
	s, line, err := start(python, loopsProgram, strconv.Itoa(processes), strconv.Itoa(threads), fmt.Sprint(rate))
	if err != nil {
		return nil, err
	}
	c := &Crowd{s}
	if line != "ready" {
		return nil, errors.Join(fmt.Errorf("the crowd said %q instead of ready", line), c.Close())
	}
	return c, nil
}

// Close ends the crowd, all of its processes.
func (c *Crowd) Close() error {
	if err := c.stdin.Close(); err != nil {
		return err
	}
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("end the crowd: %w", err)
	}
	return nil
}

// StartMany starts processes with one loop each, each of them anew, as services are. Each loop works for burst
// of CPU time and pauses, again and again; with neither it only waits. On c CPUs some processes -
// c * pause / burst of them want to run at a time. Close ends all of them.
func StartMany(python Command, processes int, burst, pause time.Duration) (*Crowd, error) {
	s, line, err := start(python, manyProgram, strconv.Itoa(processes), milliseconds(burst), milliseconds(pause))
	if err != nil {
		return nil, err
	}
	c := &Crowd{s}
	if line != "ready" {
		return nil, errors.Join(fmt.Errorf("the crowd said %q instead of ready", line), c.Close())
	}
	return c, nil
}

func milliseconds(d time.Duration) string { return fmt.Sprint(float64(d) / 1e6) }
