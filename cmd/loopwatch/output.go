// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// stdoutName is what --output calls stdout.
const stdoutName = "-"

// output is where a result goes: stdout, a file replaced as a whole, or something written in
// place because it cannot be replaced (a device, a FIFO, a symbolic link such as
// /dev/stdout, whose target is not ours to swap).
type output struct {
	w    io.Writer // stdout or the thing written in place
	file *os.File  // w, where it has to be closed
	path string    // the file to replace, where w is nil
	mode fs.FileMode
}

// openOutput opens where name says, or finds out that it could be. An error says what is
// wrong with it; nothing has been changed then. abandon must be called in the end.
func (a *app) openOutput(name string) (*output, error) {
	if name == "" || name == stdoutName {
		return &output{w: a.stdout}, nil
	}
	info, err := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return replaceable(name, 0o666)
	case err != nil:
		return nil, outputError(name, err)
	case info.IsDir():
		return nil, outputError(name, syscall.EISDIR)
	case info.Mode().IsRegular():
		// A read-only or immutable file is not to be replaced only because its directory allows it.
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return nil, outputError(name, err)
		}
		f.Close()
		return replaceable(name, info.Mode().Perm())
	}
	// Not truncated here: what is there stays until there is something better.
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return nil, outputError(name, err)
	}
	return &output{w: f, file: f}, nil
}

// replaceable makes sure that path can be replaced, by making and removing a neighbour.
// Nothing is left while the observation runs, so that killing it leaves nothing either.
func replaceable(path string, mode fs.FileMode) (*output, error) {
	f, err := neighbour(path, mode)
	if err != nil {
		return nil, outputError(path, err)
	}
	f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return nil, outputError(path, err)
	}
	return &output{path: path, mode: mode}, nil
}

// neighbour creates a new file beside path. It never opens one that is there already, even
// where others may write to the directory. The umask applies.
func neighbour(path string, mode fs.FileMode) (*os.File, error) {
	dir, base := filepath.Split(path)
	if len(base) > 200 {
		base = base[:200] // NAME_MAX is 255 bytes
	}
	return os.OpenFile(dir+"."+base+"."+rand.Text()[:10], os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
}

// write has render write the result and puts it in place. A reader that closed the pipe has
// had enough: that is no error.
func (o *output) write(render func(io.Writer) error) error {
	if o.w != nil {
		if err := buffered(o.w, render); err != nil && !errors.Is(err, syscall.EPIPE) {
			return err
		}
		return o.close()
	}
	f, err := neighbour(o.path, o.mode)
	if err != nil {
		return withoutPath(err)
	}
	err = buffered(f, render)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), o.path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("to %s: %w", o.path, withoutPath(err))
	}
	return nil
}

// close ends an output written in place, cutting off what was longer before.
func (o *output) close() error {
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

// abandon releases what write did not use.
func (o *output) abandon() {
	if o.file != nil {
		o.file.Close()
	}
}

func buffered(w io.Writer, render func(io.Writer) error) error {
	b := bufio.NewWriterSize(w, 64<<10)
	if err := render(b); err != nil {
		return err
	}
	return b.Flush()
}

func outputError(name string, err error) error {
	return fmt.Errorf("cannot write to %s: %w; name another file with --output", name, withoutPath(err))
}

// withoutPath returns the reason of a file error alone: the message names the file already,
// and a neighbour's name would only puzzle.
func withoutPath(err error) error {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return pe.Err
	}
	if le := (*os.LinkError)(nil); errors.As(err, &le) {
		return le.Err
	}
	return err
}
