// SPDX-License-Identifier: Apache-2.0

package process

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// ReadFile returns the first limit bytes of a regular file as the process sees it, inside its root and never out of it. A
// path that is not absolute is looked up below the process's working directory, and never out of that.
func (p *Process) ReadFile(path string, limit int64) ([]byte, error) {
	return ask(p.files, func() ([]byte, error) { return p.readInRoot(path, limit) })
}

func (p *Process) readInRoot(path string, limit int64) ([]byte, error) {
	fd, err := p.openInRoot(path, unix.O_PATH)
	if err == nil {
		fd, err = regular(fd, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s of process %d: %w", path, p.PID, err)
	}
	defer unix.Close(fd)
	// fd is an O_PATH descriptor of a regular file: opening it again cannot reach another.
	f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd), os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s of process %d: %w", path, p.PID, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		return b, fmt.Errorf("read %s of process %d: %w", path, p.PID, err)
	}
	return b, nil
}

// ReadDir returns the first limit names in a directory as the process sees it, in no particular order. Like ReadFile it
// stays inside the process's root.
func (p *Process) ReadDir(path string, limit int) ([]string, error) {
	return ask(p.files, func() ([]string, error) { return p.listInRoot(path, limit) })
}

func (p *Process) listInRoot(path string, limit int) ([]string, error) {
	fd, err := p.openInRoot(path, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, fmt.Errorf("open %s of process %d: %w", path, p.PID, err)
	}
	d := os.NewFile(uintptr(fd), path)
	defer d.Close()
	names, err := d.Readdirnames(limit)
	if err != nil && err != io.EOF {
		return names, fmt.Errorf("list %s of process %d: %w", path, p.PID, err)
	}
	return names, nil
}

// openInRoot opens a path as the process would, in the root it has. Where the process has ended the error is ESRCH: that
// says nothing of the file.
func (p *Process) openInRoot(path string, flags int) (int, error) {
	from, resolve := "root", uint64(unix.RESOLVE_IN_ROOT)
	if !strings.HasPrefix(path, "/") {
		from, resolve = "cwd", unix.RESOLVE_BENEATH
	}
	dir, err := unix.Open(p.path(from), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		err = unix.ESRCH
	}
	if err != nil {
		return -1, err
	}
	defer unix.Close(dir)
	return unix.Openat2(dir, path, &unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Resolve: resolve | unix.RESOLVE_NO_MAGICLINKS,
	})
}
