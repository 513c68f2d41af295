// SPDX-License-Identifier: Apache-2.0

// Package output writes results to where a user says: stdout, or a file that is replaced as a whole, appended to or written in
// place. In go the name that a flag has and what renders the result; out comes the file, or an Error that says what to do. A
// result that cannot be written leaves the file that was there. Root may write to a directory of other users: nothing they put
// there decides where the result goes or who may read it.
package output

import (
	"bufio"
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Stdout is the name of stdout, as is the empty one.
const Stdout = "-"

// Output is where a result goes: stdout, a file replaced as a whole, or something written in
// place because it cannot be replaced (a device, a FIFO, /dev/stdout).
type Output struct {
	flag string // that named it
	name string
	w    io.Writer // stdout or the thing written in place
	file *os.File  // w, where it has to be closed

	// The file to replace, where w is nil: its directory, held open so that nobody can put
	// another in its place meanwhile, and its name there.
	dir  *os.Root
	base string
	mode fs.FileMode
}

// Open opens what a flag names, or finds out that it could be opened. An error is an *Error that says what is
// wrong with it; nothing has been changed then. Abandon must be called in the end.
//
// Other users' symbolic links and FIFOs are refused, as the kernel does where fs.protected_symlinks and fs.protected_fifos
// are set.
func Open(flag, name string, stdout io.Writer) (*Output, error) {
	if name == "" || name == Stdout {
		return &Output{flag: flag, name: "stdout", w: stdout}, nil
	}
	path := name
	for range maxLinks {
		o, next, err := openPlace(path)
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
func OpenStream(flag, name string, stdout io.Writer) (*Output, error) {
	o, err := Open(flag, name, stdout)
	if err != nil || o.w != nil {
		return o, err
	}
	f, err := o.dir.OpenFile(o.base, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NOFOLLOW, o.mode)
	if err != nil {
		o.Abandon()
		return nil, newError(o.flag, name, err)
	}
	o.w, o.file = f, f
	return o, nil
}

// Name returns what a user calls the output.
func (o *Output) Name() string { return o.name }

// maxLinks is how many symbolic links in a row are followed.
const maxLinks = 10

// openPlace opens one path, or returns where the symbolic link leads that it is.
func openPlace(path string) (o *Output, next string, err error) {
	dir, base := filepath.Split(path)
	if dir = cmp.Or(dir, "."); base == "" || base == "." || base == ".." {
		return nil, "", syscall.EISDIR
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, "", err
	}
	defer func() {
		if o == nil || o.dir == nil {
			root.Close()
		}
	}()
	info, err := root.Lstat(base)
	if errors.Is(err, fs.ErrNotExist) {
		o, err = replaceable(root, base, 0o666)
		return o, "", err
	}
	if err != nil {
		return nil, "", err
	}
	owner, ours := ownerOf(info)
	switch kind := info.Mode().Type(); {
	case kind == fs.ModeDir:
		return nil, "", syscall.EISDIR
	case kind == fs.ModeSymlink && onProc(dir): // what /dev/stdout ends in: no path, but an open file
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		return &Output{w: f, file: f}, "", err
	case kind == fs.ModeSymlink && !ours:
		return nil, "", fmt.Errorf("%s is a symbolic link of another user (%d)", base, owner)
	case kind == fs.ModeSymlink:
		next, err = root.Readlink(base)
		if err == nil && !filepath.IsAbs(next) {
			next = filepath.Join(dir, next)
		}
		return nil, next, err
	case kind == fs.ModeNamedPipe && !ours:
		return nil, "", fmt.Errorf("%s is a FIFO of another user (%d)", base, owner)
	case kind != 0:
		f, err := root.OpenFile(base, os.O_WRONLY, 0)
		return &Output{w: f, file: f}, "", err
	}
	// A read-only or immutable file is not to be replaced only because its directory allows it.
	f, err := root.OpenFile(base, os.O_WRONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, "", err
	}
	f.Close()
	mode := fs.FileMode(0o666)
	if ours {
		mode = info.Mode().Perm()
	}
	o, err = replaceable(root, base, mode)
	return o, "", err
}

// ownerOf returns who owns a file, and whether that is root or the user loopwatch runs as.
func ownerOf(info fs.FileInfo) (uid uint32, ours bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return st.Uid, st.Uid == 0 || int(st.Uid) == os.Geteuid()
}

// onProc reports whether dir is on procfs, whose links lead to open files.
func onProc(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && st.Type == unix.PROC_SUPER_MAGIC
}

// replaceable makes sure that a file can be replaced, by making and removing a neighbour.
// Nothing is left while the observation runs, so that killing it leaves nothing either.
func replaceable(dir *os.Root, base string, mode fs.FileMode) (*Output, error) {
	o := &Output{dir: dir, base: base, mode: mode}
	f, name, err := o.neighbour()
	if err != nil {
		return nil, err
	}
	f.Close()
	if err := dir.Remove(name); err != nil {
		return nil, err
	}
	return o, nil
}

// neighbour creates a new file beside the one to replace. It never opens one that is there
// already, even where others may write to the directory. The umask applies.
func (o *Output) neighbour() (f *os.File, name string, err error) {
	base := o.base
	if len(base) > 200 {
		base = base[:200] // NAME_MAX is 255 bytes
	}
	name = "." + base + "." + rand.Text()[:10]
	f, err = o.dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, o.mode)
	return f, name, err
}

// Write has render write the result and puts it in place. A reader that closed the pipe has
// had enough: that is no error.
func (o *Output) Write(render func(io.Writer) error) error {
	var err error
	if o.w != nil {
		if err = buffered(o.w, render); errors.Is(err, syscall.EPIPE) {
			err = nil
		}
		err = cmp.Or(err, o.close())
	} else {
		err = o.replace(render)
	}
	if err != nil {
		return newError(o.flag, o.name, err)
	}
	return nil
}

// replace writes beside the file and takes its place only when all is on the disk.
func (o *Output) replace(render func(io.Writer) error) error {
	f, name, err := o.neighbour()
	if err != nil {
		return err
	}
	if err = buffered(f, render); err == nil {
		// Some file systems find out only now that they are full.
		if err = f.Sync(); errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
			err = nil // a file system that knows no sync
		}
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = o.dir.Rename(name, o.base)
	}
	if err != nil {
		_ = o.dir.Remove(name)
	}
	return err
}

// Same reports whether two outputs would be written to one file.
func (o *Output) Same(other *Output) bool {
	if mine, theirs := o.there(), other.there(); mine != nil && theirs != nil {
		return os.SameFile(mine, theirs)
	}
	if o.dir == nil || other.dir == nil || o.base != other.base {
		return false
	}
	mine, err := o.dir.Stat(".")
	theirs, otherErr := other.dir.Stat(".")
	return err == nil && otherErr == nil && os.SameFile(mine, theirs)
}

// there describes the file that is there now, nil if there is none.
func (o *Output) there() fs.FileInfo {
	var info fs.FileInfo
	var err error
	if f, ok := o.w.(*os.File); ok {
		info, err = f.Stat()
	} else if o.dir != nil {
		info, err = o.dir.Lstat(o.base)
	}
	if err != nil {
		return nil
	}
	return info
}

// close ends an output written in place, cutting off what was longer before.
func (o *Output) close() error {
	if o.file == nil {
		return nil
	}
	f := o.file
	o.file = nil
	if at, err := f.Seek(0, io.SeekCurrent); err == nil {
		// Fails on what has no length, such as a terminal, where there is nothing to cut off.
		_ = f.Truncate(at)
	}
	return f.Close()
}

// Abandon releases what Write did not use.
func (o *Output) Abandon() {
	if o.file != nil {
		o.file.Close()
	}
	if o.dir != nil {
		o.dir.Close()
	}
}

func buffered(w io.Writer, render func(io.Writer) error) error {
	b := bufio.NewWriterSize(w, 64<<10)
	if err := render(b); err != nil {
		return err
	}
	return b.Flush()
}
