// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/test/hungfs"
)

// hardships returns all that this machine allows. What it does not is noted.
func (l *load) hardships() ([]hardship, error) {
	out := []hardship{
		{"processes", 40 * time.Millisecond, 4, func(context.Context) error { return exec.Command("/bin/true").Run() }},
		{"Pythons with a loop", 200 * time.Millisecond, 2, func(context.Context) error { return l.python("short", "0.03").Run() }},
		{"exec by a thread", 2 * time.Second, 1, func(context.Context) error { return l.python("execute").Run() }},
		{"new interpreters", 10 * time.Second, 1, l.newInterpreter},
		{"kill -9 of loopwatch", 11 * time.Second, 1, l.killOther},
		{"stops", 7 * time.Second, 1, l.stop},
		{overflows, 47 * time.Second, 1, l.overflow},
	}
	hang, err := l.mount()
	if err != nil {
		l.leave("a hung mount", err)
	} else {
		out = append(out, hardship{"a hung mount", 23 * time.Second, 1, hang})
	}
	press, err := l.pressure()
	if err != nil {
		l.leave("memory pressure", err)
	} else {
		out = append(out, hardship{"memory pressure", 19 * time.Second, 1, press})
	}
	if !l.options.cpus {
		l.leave("CPUs that come and go", errors.New("-cpus=false"))
	} else if _, err := os.Stat(otherCPU); err != nil {
		l.leave("CPUs that come and go", err)
	} else {
		out = append(out, hardship{"CPUs that come and go", 17 * time.Second, 1, takeCPU})
	}
	return out, nil
}

// leave notes what is left out.
func (l *load) leave(what string, why error) {
	l.leftOut = append(l.leftOut, fmt.Sprintf("%s: %v", what, why))
}

// pause waits for so long, or until ctx is done.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// newInterpreter runs a copy of the interpreter that nobody has seen, as after an update, and removes it.
func (l *load) newInterpreter(context.Context) error {
	l.mu.Lock()
	l.copied++
	path := filepath.Join(l.dir, "python-"+strconv.Itoa(l.copied))
	l.mu.Unlock()
	defer os.Remove(path)
	if err := copyFile(l.options.python, path); err != nil {
		return err
	}
	cmd := l.python("short", "0.03")
	cmd.Path = path
	cmd.Env = append(os.Environ(), "PYTHONHOME="+l.options.home)
	return cmd.Run()
}

// copyFile copies a program to run. Another process does: what is started meanwhile would inherit a descriptor that writes to it.
func copyFile(from, to string) error { return exec.Command("cp", "--", from, to).Run() }

// killOther kills a second loopwatch, at any moment of its life.
func (l *load) killOther(ctx context.Context) error {
	cmd := l.options.command("watch", "--pid", strconv.Itoa(os.Getpid()), "--children", "--output", "/dev/null")
	if err := cmd.Start(); err != nil {
		return err
	}
	pause(ctx, time.Duration(rand.Int64N(int64(8*time.Second))))
	err := cmd.Process.Kill()
	_ = cmd.Wait()
	return err
}

// stop stops a program for a while, in its loop's wait or beside it.
func (l *load) stop(ctx context.Context) error {
	if err := unix.Kill(l.stoppable.pid(), unix.SIGSTOP); err != nil {
		return err
	}
	pause(ctx, 3*time.Second)
	return unix.Kill(l.stoppable.pid(), unix.SIGCONT)
}

const overflows = "ring overflows"

// overflow has more happen than the ring buffer takes while loopwatch does not get to run.
func (l *load) overflow(ctx context.Context) (err error) {
	var storms []*child
	defer func() {
		for _, c := range storms {
			err = errors.Join(err, c.end())
		}
	}()
	for range 10 {
		c, err := startReady(l.python("storm", "5"), nothing)
		if err != nil {
			return err
		}
		storms = append(storms, c)
	}
	pause(ctx, 2*time.Second) // they are known by then to be loops: the stacks of others are not walked
	if err := l.subject.cmd.Process.Signal(unix.SIGSTOP); err != nil {
		return err
	}
	for _, c := range storms {
		c.tell()
	}
	for _, c := range storms {
		err = errors.Join(err, c.end())
	}
	storms = nil
	return errors.Join(err, l.subject.cmd.Process.Signal(unix.SIGCONT))
}

const otherCPU = "/sys/devices/system/cpu/cpu1/online"

// takeCPU takes a CPU offline for a moment.
func takeCPU(ctx context.Context) error {
	if err := os.WriteFile(otherCPU, []byte("0"), 0); err != nil {
		return err
	}
	pause(ctx, time.Second)
	return os.WriteFile(otherCPU, []byte("1"), 0)
}

// mount mounts a file system, and returns what has it hang with an interpreter and a script on it that run.
func (l *load) mount() (func(context.Context) error, error) {
	files, at := filepath.Join(l.dir, "files"), filepath.Join(l.dir, "mount")
	if err := errors.Join(os.Mkdir(files, 0o755), os.Mkdir(at, 0o755), copyFile(l.script, filepath.Join(files, "soak.py")), copyFile(l.options.python, filepath.Join(files, "python"))); err != nil {
		return nil, err
	}
	fs, err := hungfs.Mount(files, at)
	if err != nil {
		return nil, err
	}
	l.closings = append(l.closings, fs.Unmount)
	run := func(python, script string) (*child, error) {
		cmd := exec.Command(python, "-s", "-S", script, "rest")
		cmd.Env = append(os.Environ(), "PYTHONHOME="+l.options.home)
		hungfs.Through(cmd)
		return startReady(cmd, nothing)
	}
	return func(ctx context.Context) error {
		one, err := run(filepath.Join(at, "python"), l.script)
		if err != nil {
			return err
		}
		two, err := run(l.options.python, filepath.Join(at, "soak.py"))
		if err != nil {
			one.kill()
			return err
		}
		fs.Hang()
		pause(ctx, 10*time.Second)
		fs.Answer()
		return errors.Join(one.end(), two.end())
	}, nil
}
