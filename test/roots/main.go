// SPDX-License-Identifier: Apache-2.0

// Command roots makes the Debian trees whose interpreters the tests run in by chroot; "make test"
// calls it. See package debian.
//
//	go run ./test/roots [SUITE...]
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/loopwatch/loopwatch/test/debian"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := debian.Make(ctx, os.Stderr, os.Args[1:]...); err != nil {
		fmt.Fprintln(os.Stderr, "roots:", err)
		os.Exit(1)
	}
}
