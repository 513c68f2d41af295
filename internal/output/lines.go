// SPDX-License-Identifier: Apache-2.0

package output

import (
	"context"
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Lines is a writer of whole lines that goes on where a line could not be written, as on a
// full disk: the next may be. A reader that has closed the pipe has had enough.
type Lines struct {
	out     *Output
	warn    func(string)
	closed  func()
	torn    bool // a part of a line was written
	dropped int64
}

// Lines returns a writer of whole lines. The first line that cannot be written is a warning; closed is called where the
// reader of a pipe has closed it.
func (o *Output) Lines(warn func(string), closed func()) *Lines {
	return &Lines{out: o, warn: warn, closed: closed}
}

// Dropped returns how many lines could not be written.
func (l *Lines) Dropped() int64 { return l.dropped }

// CheckReader finds out that the reader of a pipe has closed it though nothing is to be written.
func (l *Lines) CheckReader() {
	f, ok := l.out.w.(*os.File)
	if !ok {
		return
	}
	fds := []unix.PollFd{{Fd: int32(f.Fd())}}
	if n, err := unix.Poll(fds, 0); n > 0 && err == nil && fds[0].Revents&unix.POLLERR != 0 {
		l.closed()
	}
}

func (l *Lines) Write(line []byte) (int, error) {
	if l.torn {
		if _, err := l.out.w.Write([]byte("\n")); err != nil {
			l.dropped++
			return len(line), nil
		}
		l.torn = false
	}
	n, err := l.out.w.Write(line)
	switch {
	case err == nil:
	case errors.Is(err, syscall.EPIPE):
		l.closed()
	default:
		if l.dropped++; l.dropped == 1 {
			l.warn(newError(l.out.flag, l.out.name, err).Error() + "; going on")
		}
		l.torn = n > 0
	}
	return len(line), nil
}

// CanReopen reports whether lines are appended to a file that may be renamed, so that another has to be opened in its place.
func (l *Lines) CanReopen() bool { return l.out.appended }

// Reopen opens the file of that name anew: the old one was renamed, or is to be. Where it cannot be opened, that is a warning,
// and lines go on to the old one. Not to be called during Write.
func (l *Lines) Reopen(ctx context.Context) {
	next, err := OpenStream(ctx, l.out.flag, l.out.name, nil)
	if err != nil {
		l.warn(err.Error() + "; going on with the file opened before")
		return
	}
	l.out.Abandon()
	*l.out = *next
	l.torn = false
}
