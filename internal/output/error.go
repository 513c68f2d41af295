// SPDX-License-Identifier: Apache-2.0

package output

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Error says what is wrong with an output and what to do.
type Error struct {
	Name   string // of the output
	Err    error
	Remedy string
}

func (e *Error) Error() string {
	return fmt.Sprintf("cannot write to %s: %v; %s", e.Name, e.Err, e.Remedy)
}

func (e *Error) Unwrap() error { return e.Err }

func newError(flag, name string, err error) *Error {
	remedy := "name another file with " + flag
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		remedy = "make room there, or " + remedy
	}
	if errors.As(err, new(*foreignError)) || errors.Is(err, errLinked) {
		remedy = "remove it, or " + remedy
	}
	return &Error{Name: name, Err: withoutPath(err), Remedy: remedy}
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
