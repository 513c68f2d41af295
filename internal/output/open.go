// SPDX-License-Identifier: Apache-2.0

package output

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/loopwatch/loopwatch/internal/clock"
	"golang.org/x/sys/unix"
)

// Open opens what a flag names, or finds out that it could be opened. It waits for the reader of a FIFO until ctx is done. An
// error is an *Error that says what is wrong with it; nothing has been changed then. Abandon must be called in the end.
//
// Other users' symbolic links and FIFOs are refused, as the kernel does where fs.protected_symlinks and fs.protected_fifos
// are set, and to root their files, too.
func Open(ctx context.Context, flag, name string, stdout io.Writer) (*Output, error) {
	if name == "" || name == Stdout {
		return &Output{flag: flag, name: "stdout", w: stdout}, nil
	}
	path := name
	for range maxLinks {
		o, next, err := openPlace(ctx, path)
		if err != nil {
			return nil, newError(flag, name, err)
		}
		if o != nil {
			o.flag, o.name = flag, name
			return o, nil
		}
		path = next
	}
	return nil, newError(flag, name, syscall.ELOOP)
}

// OpenStream opens where a stream goes: stdout, or a file it is appended to. Abandon closes it.
func OpenStream(ctx context.Context, flag, name string, stdout io.Writer) (*Output, error) {
	o, err := Open(ctx, flag, name, stdout)
	if err != nil || o.w != nil {
		return o, err
	}
	if err := o.openAppended(); err != nil {
		o.Abandon()
		return nil, newError(o.flag, name, err)
	}
	return o, nil
}

// openAppended opens the file to append to. Another may have taken its place since it was looked at.
func (o *Output) openAppended() error {
	f, err := o.dir.open(o.base, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT, o.mode)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err = unix.Fstat(int(f.Fd()), &st); err == nil {
		err = o.dir.checkFile(&st, true)
	}
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = errors.New("another has put something else in its place")
	}
	if err != nil {
		f.Close()
		return err
	}
	o.w, o.file, o.appended = f, f, true
	return nil
}

// openPlace opens one path, or returns where the symbolic link leads that it is.
func openPlace(ctx context.Context, path string) (o *Output, next string, err error) {
	above, base := filepath.Split(path)
	if base == "" || base == "." || base == ".." {
		return nil, "", syscall.EISDIR
	}
	dir, err := openDirectory(cmp.Or(above, "."))
	if err != nil {
		return nil, "", err
	}
	defer func() {
		if o == nil || o.dir == nil {
			dir.close()
		}
	}()
	st, err := dir.stat(base)
	if errors.Is(err, fs.ErrNotExist) {
		o, err = replaceable(dir, base, 0o666)
		return o, "", err
	}
	if err != nil {
		return nil, "", err
	}
	switch kind := st.Mode & unix.S_IFMT; {
	case kind == unix.S_IFDIR:
		return nil, "", syscall.EISDIR
	case kind == unix.S_IFLNK && dir.onProc() && base != "self": // what /dev/stdout ends in: no path, but an open file
		o, err = dir.openDescriptor(base, &st)
		return o, "", err
	case kind == unix.S_IFLNK && !ours(&st):
		return nil, "", &foreignError{base + " is a symbolic link", st.Uid}
	case kind == unix.S_IFLNK:
		next, err = dir.readlink(base)
		if err == nil && !filepath.IsAbs(next) {
			next = above + next
		}
		return nil, next, err
	case kind == unix.S_IFIFO && !ours(&st):
		return nil, "", &foreignError{base + " is a FIFO", st.Uid}
	case kind == unix.S_IFREG:
		o, err = dir.openFile(base, &st)
		return o, "", err
	}
	f, err := dir.openInPlace(ctx, base)
	return &Output{w: f, file: f}, "", err
}

// openFile makes sure that a regular file can be replaced.
func (d *directory) openFile(base string, st *unix.Stat_t) (*Output, error) {
	if err := d.checkFile(st, false); err != nil {
		return nil, err
	}
	// A read-only or immutable file is not to be replaced only because its directory allows it.
	f, err := d.open(base, unix.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	f.Close()
	mode := fs.FileMode(0o666)
	if ours(st) {
		mode = fs.FileMode(st.Mode & 0o777)
	}
	return replaceable(d, base, mode)
}

// askReaderEvery is how often it is looked whether a FIFO has a reader.
const askReaderEvery = 50 * time.Millisecond

// openInPlace opens a device, or a FIFO when it has a reader.
func (d *directory) openInPlace(ctx context.Context, base string) (*os.File, error) {
	for {
		f, err := d.open(base, unix.O_WRONLY, 0)
		if !errors.Is(err, unix.ENXIO) {
			return f, err
		}
		if st, statErr := d.stat(base); statErr != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
			return nil, err
		}
		if !clock.Sleep(ctx, askReaderEvery) {
			return nil, errors.New("interrupted before it had a reader")
		}
	}
}

// openDescriptor opens what a descriptor of a process stands for, as a link on procfs names it. Descriptors of this process
// are duplicated: what is written goes where a shell's redirection says, behind what is there already. Nothing is cut off.
func (d *directory) openDescriptor(base string, link *unix.Stat_t) (*Output, error) {
	if n, err := strconv.Atoi(base); err == nil && (d.is("/proc/self/fd") || d.is("/proc/thread-self/fd")) {
		f, err := duplicate(n)
		return &Output{w: f, file: f}, err
	}
	if !ours(link) {
		return nil, &foreignError{"it is open in a process", link.Uid}
	}
	fd, err := unix.Openat(d.fd, base, unix.O_WRONLY|unix.O_APPEND|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), base)
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG {
		err = d.checkFile(&st, false)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &Output{w: f, file: f}, nil
}

// duplicate returns a descriptor of this process once more.
func duplicate(n int) (*os.File, error) {
	flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFL, 0)
	if err != nil {
		return nil, err
	}
	if flags&unix.O_ACCMODE == unix.O_RDONLY {
		return nil, fmt.Errorf("descriptor %d is open for reading only", n)
	}
	fd, err := unix.FcntlInt(uintptr(n), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), strconv.Itoa(n)), nil
}
