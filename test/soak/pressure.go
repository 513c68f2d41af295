// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// roomBytes is the memory that loopwatch, its maps in the kernel and files that are read beside it have together.
const roomBytes = "160M"

// pressed is how long there is pressure at a time.
const pressed = 6 * time.Second

// room is a cgroup in which there is little memory.
type room struct{ dir string }

// newRoom makes one: the error says where this machine has no memory controller for it.
func newRoom() (*room, error) {
	const top = "/sys/fs/cgroup"
	parent, limit := filepath.Join(top, "memory"), "memory.limit_in_bytes"
	if known, err := os.ReadFile(filepath.Join(top, "cgroup.controllers")); err == nil {
		if !slices.Contains(strings.Fields(string(known)), "memory") {
			return nil, errors.New("cgroup v2 has no controller of memory here")
		}
		if err := os.WriteFile(filepath.Join(top, "cgroup.subtree_control"), []byte("+memory"), 0); err != nil {
			return nil, err
		}
		parent, limit = top, "memory.max"
	}
	dir, err := os.MkdirTemp(parent, "loopwatch-soak-")
	if err != nil {
		return nil, err
	}
	r := &room{dir: dir}
	if err := os.WriteFile(filepath.Join(dir, limit), []byte(roomBytes), 0); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

// inside has a command run in the room; outside of it where there is none.
func (r *room) inside(cmd *exec.Cmd) *exec.Cmd {
	if r == nil {
		return cmd
	}
	in := exec.Command("/bin/sh", append([]string{"-c", `echo $$ > "$0/cgroup.procs" && exec "$@"`, r.dir}, cmd.Args...)...)
	in.SysProcAttr = cmd.SysProcAttr
	return in
}

func (r *room) close() error {
	if r == nil {
		return nil
	}
	return os.Remove(r.dir)
}

// pressure returns what reads a file larger than the room, again and again: the kernel takes memory from all in it.
func (l *load) pressure() (func(context.Context) error, error) {
	if l.subject.room == nil {
		return nil, l.subject.noRoom
	}
	large := filepath.Join(l.dir, "large")
	if err := os.WriteFile(large, nil, 0o644); err != nil {
		return nil, err
	}
	if err := os.Truncate(large, 512<<20); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		cmd := l.subject.room.inside(&exec.Cmd{
			Args:        []string{"/bin/sh", "-c", `while :; do cat "$0" > /dev/null; done`, large},
			SysProcAttr: &unix.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL},
		})
		if err := cmd.Start(); err != nil {
			return err
		}
		pause(ctx, pressed)
		err := unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		_ = cmd.Wait()
		return err
	}, nil
}
