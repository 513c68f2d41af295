// SPDX-License-Identifier: Apache-2.0

// Package child starts the command that is to be watched. In go its arguments; out comes its exit status. Under sudo it runs
// as the user who called that, and signals are passed on to it.
package child

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Child is a command.
type Child struct {
	cmd     *exec.Cmd
	signals chan os.Signal

	mu          sync.Mutex
	started     bool
	early       syscall.Signal // the first that came before the start, 0: none
	interrupted chan struct{}  // closed by it
}

// Interrupted says that a signal came before the command had started, so that it is not.
type Interrupted struct{ Signal syscall.Signal }

func (e *Interrupted) Error() string {
	return fmt.Sprintf("the command was not started: %s came before", unix.SignalName(e.Signal))
}

// Status is that of a command which the signal has ended.
func (e *Interrupted) Status() int { return 128 + int(e.Signal) }

// New prepares a command. Under sudo it runs as the user who called that, unless asRoot.
func New(args []string, asRoot bool) (*Child, error) {
	c := &Child{cmd: exec.Command(args[0], args[1:]...), signals: make(chan os.Signal, 16), interrupted: make(chan struct{})}
	if c.cmd.Err != nil {
		return nil, notStarted(args[0], c.cmd.Err)
	}
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if os.Geteuid() != 0 {
		return c, dropAmbient()
	}
	if asRoot {
		return c, nil
	}
	return c, c.becomeCaller()
}

// dropAmbient has the command not inherit the privileges that loopwatch was given as the
// ambient capabilities of a user.
func dropAmbient() error {
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0); errno != 0 {
		return fmt.Errorf("cannot keep the command from having loopwatch's privileges: %w; run loopwatch as root", errno)
	}
	return nil
}

// becomeCaller gives up root for the user sudo says has called it.
func (c *Child) becomeCaller() error {
	id, set := os.LookupEnv("SUDO_UID")
	if !set || id == "0" {
		return nil
	}
	u, err := user.LookupId(id)
	if err != nil {
		return fmt.Errorf("cannot run the command as the user who called sudo: %w; --as-root runs it as root", err)
	}
	gid := os.Getenv("SUDO_GID")
	if gid == "" {
		gid = u.Gid
	}
	groups, err := u.GroupIds()
	if err != nil {
		return fmt.Errorf("cannot look up the groups of %s: %w; --as-root runs the command as root", u.Username, err)
	}
	credential := &syscall.Credential{}
	if credential.Uid, err = number(id); err != nil {
		return err
	}
	if credential.Gid, err = number(gid); err != nil {
		return err
	}
	for _, g := range groups {
		n, err := number(g)
		if err != nil {
			return err
		}
		credential.Groups = append(credential.Groups, n)
	}
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	c.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains([]string{"HOME", "USER", "LOGNAME", "MAIL", "SHELL", "SUDO_UID", "SUDO_GID", "SUDO_USER", "SUDO_COMMAND"}, name)
	})
	c.cmd.Env = append(c.cmd.Env, "HOME="+u.HomeDir, "USER="+u.Username, "LOGNAME="+u.Username)
	return nil
}

func number(id string) (uint32, error) {
	n, err := strconv.ParseUint(id, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is no user or group id; --as-root runs the command as root", id)
	}
	return uint32(n), nil
}

// Catch takes the signals that come from now on, until Release: one that comes before the command has started keeps it from
// being started, and closes the channel returned; those that come later are passed on, until it has ended.
func (c *Child) Catch() <-chan struct{} {
	caught := []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGWINCH}
	if !signal.Ignored(unix.SIGHUP) { // or the command would not ignore it, as under nohup it is to
		caught = append(caught, unix.SIGHUP)
	}
	signal.Notify(c.signals, caught...)
	go func() {
		for s := range c.signals {
			c.take(s.(syscall.Signal))
		}
	}()
	return c.interrupted
}

func (c *Child) take(s syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.started && fromTerminal(s): // the command has had it, too
	case c.started:
		_ = c.cmd.Process.Signal(s)
	case s != unix.SIGWINCH && c.early == 0:
		c.early = s
		signal.Stop(c.signals) // the next one ends this program
		close(c.interrupted)
	}
}

// Start starts the command. The error is an *Interrupted where a signal has come before, see Catch.
func (c *Child) Start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.early != 0 {
		return &Interrupted{c.early}
	}
	if err := c.cmd.Start(); err != nil {
		return notStarted(c.cmd.Args[0], err)
	}
	c.started = true
	return nil
}

// Release ends what Catch has begun.
func (c *Child) Release() {
	signal.Stop(c.signals)
	close(c.signals)
}

// fromTerminal reports whether a signal is one the terminal sends to all its foreground processes,
// of which the command is one.
func fromTerminal(s syscall.Signal) bool {
	if s != unix.SIGINT && s != unix.SIGQUIT && s != unix.SIGWINCH {
		return false
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDONLY, 0)
	if err != nil {
		return false
	}
	defer tty.Close()
	foreground, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && foreground == unix.Getpgrp()
}

// Wait returns the exit status of the command, as shells have it.
func (c *Child) Wait() int {
	err := c.cmd.Wait()
	signal.Stop(c.signals)
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 0
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return exit.ExitCode()
}

func notStarted(name string, err error) error {
	if _, sudo := os.LookupEnv("SUDO_UID"); sudo && errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("cannot start %s: it is not on the PATH that sudo sets; give its whole path: \"$(command -v %s)\"", name, name)
	}
	if e := (*exec.Error)(nil); errors.As(err, &e) {
		err = e.Err
	}
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		err = e.Err // the message names the command already
	}
	return fmt.Errorf("cannot start %s: %w; give the command as you would in a shell", name, err)
}
