// SPDX-License-Identifier: Apache-2.0

// Package crash makes errors of panics, so that a fault of loopwatch costs neither the terminal's order nor the command that it
// runs. In goes what may panic; out comes an error that keeps the trace.
package crash

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
)

// debugEnv names the variable that brings the trace of a panic to stderr.
const debugEnv = "LOOPWATCH_DEBUG"

// Error is a panic.
type Error struct {
	Value any
	Stack []byte
}

func (e *Error) Error() string {
	return fmt.Sprintf("internal error: %v; set %s=1 to see the trace and report it as a bug", e.Value, debugEnv)
}

// Guard returns what f returns, or an *Error where f panics.
func Guard(f func() error) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *Error: // of another goroutine, whose trace says more
			err = r
		default:
			err = &Error{r, debug.Stack()}
		}
	}()
	return f()
}

// Trace writes where a panic came from, to those who want to know.
func Trace(w io.Writer, err error) {
	if e := (*Error)(nil); errors.As(err, &e) && os.Getenv(debugEnv) != "" {
		_, _ = w.Write(e.Stack)
	}
}
