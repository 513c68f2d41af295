// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// errNotRegular refuses devices, FIFOs and the like: opening one could block or do something.
var errNotRegular = errors.New("not a regular file")

// FileStamp tells one state of a file from another: it changes when the file is replaced or
// written, so what was found in the file can be kept under it.
type FileStamp struct {
	Dev, Inode uint64
	Size       int64 // bytes
	Modified   int64 // nanoseconds
	Changed    int64 // nanoseconds
}

// StatMapping returns the stamp of the file behind a mapping without opening it.
func (p *Process) StatMapping(m Mapping) (FileStamp, error) {
	return ask(p.files, func() (FileStamp, error) { return p.statMapping(m) })
}

func (p *Process) statMapping(m Mapping) (FileStamp, error) {
	var st unix.Stat_t
	err := unix.Stat(p.mapFile(m), &st)
	if err != nil {
		var fd int
		if fd, err = p.mappingPath(m); err == nil {
			err = unix.Fstat(fd, &st)
			_ = unix.Close(fd)
		}
	}
	if err != nil {
		return FileStamp{}, fmt.Errorf("stat %s of process %d: %w", m.Name(), p.PID, err)
	}
	return FileStamp{
		Dev: st.Dev, Inode: st.Ino, Size: st.Size,
		Modified: st.Mtim.Nano(), Changed: st.Ctim.Nano(),
	}, nil
}

// OpenMapping opens for reading the very file that is mapped, even where it has been deleted,
// replaced, or lies in a mount namespace of its own. Regular files only.
func (p *Process) OpenMapping(m Mapping) (*File, error) {
	return ask(p.files, func() (*File, error) { return p.openMapping(m) })
}

func (p *Process) openMapping(m Mapping) (*File, error) {
	fd, err := p.mappingPath(m)
	if err != nil {
		return nil, fmt.Errorf("open %s of process %d: %w", m.Name(), p.PID, err)
	}
	defer unix.Close(fd)
	// fd is an O_PATH descriptor of a regular file: opening it again cannot reach another.
	rd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s of process %d: %w", m.Name(), p.PID, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(rd, &st); err != nil {
		_ = unix.Close(rd)
		return nil, fmt.Errorf("stat %s of process %d: %w", m.Name(), p.PID, err)
	}
	return &File{Size: st.Size, file: os.NewFile(uintptr(rd), m.Path), calls: p.files}, nil
}

// File is a file of a process that is open for reading. Its file system may not answer: then reads fail with ErrNoAnswer.
type File struct {
	Size int64 // bytes, when it was opened

	file  *os.File
	calls *caller
}

// ReadAt reads as io.ReaderAt says.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	n := new(int)
	err := f.calls.fill(p, func(to []byte) error {
		var err error
		if *n, err = f.file.ReadAt(to, off); *n > 0 && err == io.EOF {
			return nil
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	if *n < len(p) {
		return *n, io.EOF
	}
	return *n, nil
}

// Fd returns the descriptor.
func (f *File) Fd() uintptr { return f.file.Fd() }

// Close closes the file; a file system that does not answer is left to do so later.
func (f *File) Close() {
	if f.calls.do(func() { _ = f.file.Close() }) != nil {
		go f.file.Close()
	}
}

// mapFile is the kernel's own link to the mapped file. Following it resolves no path.
func (p *Process) mapFile(m Mapping) string {
	return p.path(fmt.Sprintf("map_files/%x-%x", m.Start, m.End))
}

// mappingPath returns an O_PATH descriptor of the mapped regular file.
func (p *Process) mappingPath(m Mapping) (int, error) {
	if m.Inode == 0 {
		return -1, errors.New("no file is mapped")
	}
	fd, err := unix.Open(p.mapFile(m), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err == nil {
		return regular(fd, nil)
	}
	// map_files needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE. Without, go by the path, inside
	// the process's root and never out of it, and make sure that it is the same file.
	if !strings.HasPrefix(m.Path, "/") {
		return -1, err
	}
	if fd, err = p.openInRoot(m.Path, unix.O_PATH); err != nil {
		return -1, err
	}
	return regular(fd, &m)
}

// regular passes fd through if it is a regular file, and the one mapped by m if that is given.
// Otherwise it closes it.
func regular(fd int, m *Mapping) (int, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	switch {
	case err != nil:
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		err = errNotRegular
	case m != nil && (st.Ino != m.Inode || unix.Major(st.Dev) != m.Major || unix.Minor(st.Dev) != m.Minor):
		err = errors.New("another file has taken its path")
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
