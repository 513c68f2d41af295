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
	"io"
	"io/fs"
	"os"
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

	appended bool // file is one that a stream is appended to

	// The file to replace, where w is nil: its directory, held open so that nobody can put
	// another in its place meanwhile, and its name there.
	dir  *directory
	base string
	mode fs.FileMode
}

// Name returns what a user calls the output.
func (o *Output) Name() string { return o.name }

// replaceable makes sure that a file can be replaced, by making and removing a neighbour.
// Nothing is left while the observation runs, so that killing it leaves nothing either.
func replaceable(dir *directory, base string, mode fs.FileMode) (*Output, error) {
	o := &Output{dir: dir, base: base, mode: mode}
	f, name, err := o.neighbour()
	if err != nil {
		return nil, err
	}
	f.Close()
	if err := dir.remove(name); err != nil {
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
	f, err = o.dir.open(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, o.mode)
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
		err = o.dir.rename(name, o.base)
	}
	if err != nil {
		_ = o.dir.remove(name)
	}
	return err
}

// Same reports whether two outputs would be written to one file.
func (o *Output) Same(other *Output) bool {
	if mine, theirs := o.there(), other.there(); mine != nil && theirs != nil {
		return sameFile(mine, theirs)
	}
	if o.dir == nil || other.dir == nil || o.base != other.base {
		return false
	}
	var mine, theirs unix.Stat_t
	return unix.Fstat(o.dir.fd, &mine) == nil && unix.Fstat(other.dir.fd, &theirs) == nil && sameFile(&mine, &theirs)
}

func sameFile(x, y *unix.Stat_t) bool { return x.Dev == y.Dev && x.Ino == y.Ino }

// there describes the file that is there now, nil if there is none.
func (o *Output) there() *unix.Stat_t {
	var st unix.Stat_t
	var err error
	if f, ok := o.w.(*os.File); ok {
		err = unix.Fstat(int(f.Fd()), &st)
	} else if o.dir != nil {
		st, err = o.dir.stat(o.base)
	} else {
		return nil
	}
	if err != nil {
		return nil
	}
	return &st
}

// close ends an output written in place.
func (o *Output) close() error {
	if o.file == nil {
		return nil
	}
	f := o.file
	o.file = nil
	return f.Close()
}

// Abandon releases what Write did not use.
func (o *Output) Abandon() {
	if o.file != nil {
		o.file.Close()
	}
	if o.dir != nil {
		o.dir.close()
	}
}

func buffered(w io.Writer, render func(io.Writer) error) error {
	b := bufio.NewWriterSize(w, 64<<10)
	if err := render(b); err != nil {
		return err
	}
	return b.Flush()
}
