// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"time"

	"github.com/loopwatch/loopwatch/internal/crash"
)

// errInterrupted ends a command that has nothing to show for what it did until then.
var errInterrupted = errors.New("interrupted before it was done; run it again, with --pid for fewer processes")

// grace is how long a look at the host may go on after a signal, to leave things in order.
const grace = 300 * time.Millisecond

// interruptibly calls f, and leaves it to itself where it does not return soon after ctx is done: what it waits for may never
// come. This program is to end then.
func interruptibly(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- crash.Guard(f) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		if errors.Is(err, context.Canceled) {
			err = errInterrupted
		}
		return err
	case <-time.After(grace):
		return errInterrupted
	}
}
