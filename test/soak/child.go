// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// child is a program that goes on until it is told to end.
type child struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	read  sync.WaitGroup
	said  bytes.Buffer // on stderr
}

// startChild starts a program, and has says called with each line of it.
func startChild(cmd *exec.Cmd, says func(string)) (*child, error) {
	c := &child{cmd: cmd}
	// A group of its own: a group with a stopped process in it gets a SIGHUP when its session goes.
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	cmd.Stderr = &c.said
	var err error
	if c.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c.read.Go(func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			says(lines.Text())
		}
	})
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// tell closes its standard input: for most programs that means to end.
func (c *child) tell() { _ = c.stdin.Close() }

// end tells it to end and waits for that.
func (c *child) end() error {
	if c == nil {
		return nil
	}
	c.tell()
	c.read.Wait()
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("%v: %w\n%s", c.cmd.Args, err, c.said.Bytes())
	}
	return nil
}

// kill ends it in the middle of what it does.
func (c *child) kill() {
	if c == nil {
		return
	}
	_ = c.cmd.Process.Kill()
	c.read.Wait()
	_ = c.cmd.Wait()
}

// patience is how long a program may take until it runs: an end to waiting for one that hangs.
const patience = 10 * time.Minute

var errNotReady = errors.New("the program does not become ready")

// startReady starts a program that says "ready", and waits for it. What it says later goes to says.
func startReady(cmd *exec.Cmd, says func(string)) (*child, error) {
	ready := make(chan struct{})
	var once sync.Once
	c, err := startChild(cmd, func(line string) {
		if line == "ready" {
			once.Do(func() { close(ready) })
			return
		}
		says(line)
	})
	if err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() { c.read.Wait(); close(ended) }()
	select {
	case <-ready:
		return c, nil
	case <-ended:
	case <-time.After(patience):
	}
	c.kill()
	return nil, fmt.Errorf("%w: %v: %s", errNotReady, cmd.Args, c.said.Bytes())
}

func nothing(string) {}
