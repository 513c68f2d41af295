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
	"syscall"

	"golang.org/x/sys/unix"
)

// Child is a command.
type Child struct {
	cmd     *exec.Cmd
	signals chan os.Signal
}

// New prepares a command. Under sudo it runs as the user who called that, unless asRoot.
func New(args []string, asRoot bool) (*Child, error) {
	c := &Child{cmd: exec.Command(args[0], args[1:]...), signals: make(chan os.Signal, 16)}
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

// Start starts the command and passes signals on to it from then on.
func (c *Child) Start() error {
	signal.Notify(c.signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGWINCH)
	if err := c.cmd.Start(); err != nil {
		signal.Stop(c.signals)
		return notStarted(c.cmd.Args[0], err)
	}
	go func() {
		for s := range c.signals {
			if fromTerminal(s) {
				continue // the command has had it, too
			}
			_ = c.cmd.Process.Signal(s)
		}
	}()
	return nil
}

// fromTerminal reports whether a signal is one the terminal sends to all its foreground processes,
// of which the command is one.
func fromTerminal(s os.Signal) bool {
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
	close(c.signals)
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 0
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return exit.ExitCode()
}

// Kill ends the command where the observation cannot go on.
func (c *Child) Kill() {
	if c.cmd.Process != nil {
		_ = c.cmd.Process.Kill()
	}
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
