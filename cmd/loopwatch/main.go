// SPDX-License-Identifier: Apache-2.0

// Command loopwatch names the line of code that blocked each Python event loop of a host.
//
// This package parses flags, calls internal/observe and prints what internal/report renders;
// it alone decides the exit status.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/loopwatch/loopwatch/internal/crash"
	"github.com/loopwatch/loopwatch/internal/doctor"
	"github.com/loopwatch/loopwatch/internal/dump"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/observe"
	"github.com/loopwatch/loopwatch/internal/priority"
	"github.com/loopwatch/loopwatch/internal/python"
	"github.com/loopwatch/loopwatch/internal/waits"
)

// Exit statuses.
const (
	statusDone    = 0
	statusFailed  = 1 // could not do it
	statusUsage   = 2 // wrong usage
	statusBlocked = 3 // --fail-on-block, and a block was seen; --fail-on-worse, and a blocker is new or worse
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run executes one command line and returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	a := &app{
		stdout: stdout, stderr: stderr, screen: screenOf, observe: observe.Run, watchBlocks: observe.Watch, watchLive: observe.Live,
		takeDump: dump.Take, takeWaits: waits.Profile, examine: doctor.Examine, raise: priority.Raise,
	}
	return a.run(args)
}

// app is what the commands share. Tests put in their own observe and screen.
type app struct {
	stdout, stderr io.Writer
	screen         func(io.Writer) (columns int, terminal bool)
	observe        func(context.Context, observe.Options) (*model.Report, error)
	takeDump       func(context.Context, dump.Options) (*model.Dump, []*python.PIDError, error)
	takeWaits      func(context.Context, waits.Options) (*model.WaitProfile, []*python.PIDError, error)
	watchBlocks    func(context.Context, observe.Options, func(observe.Sighting)) (model.Lost, error)
	watchLive      func(context.Context, observe.Options, observe.LiveOptions) (model.Lost, error)
	examine        func(ctx context.Context, pids []int) (*doctor.Diagnosis, error)
	letGo          func()                                             // of the signals that end an observation: the next one kills
	logging        bool                                               // to stderr, see startLog
	raise          func(priority.Options) (*priority.Priority, error) // nil leaves the priority alone
	priority       *priority.Priority                                 // what raise returned
}

func (a *app) run(args []string) (status int) {
	defer func() { a.priority.Done(status) }()
	ctx, letGo, stop := interruptible(context.Background())
	defer stop()
	a.letGo = letGo

	if args == nil {
		args = []string{} // cobra reads os.Args where it is given nil
	}
	root := a.rootCommand()
	root.SetArgs(args)
	var child childError
	switch err := crash.Guard(func() error { return root.ExecuteContext(ctx) }); {
	case err == nil:
		return statusDone
	case errors.Is(err, errBlocked), errors.Is(err, errWorse):
		return statusBlocked
	case errors.Is(err, errSaid):
		return statusFailed
	case errors.As(err, &child):
		return int(child)
	case errors.As(err, new(usageError)):
		a.fail(err)
		return statusUsage
	default:
		a.fail(err)
		crash.Trace(a.stderr, err)
		return statusFailed
	}
}

// sameSignal is how long after a signal another one is the same: who signals all processes of a job reaches
// one in a session of its own twice, once by the process that passes it on (package priority).
const sameSignal = 300 * time.Millisecond

// interruptible returns a context that ends with the first SIGINT or SIGTERM, so that a
// command ends its observation and prints what it has; the second one kills as usual. Both
// are handled even where the shell that started us in the background had SIGINT ignored: who
// sends one to a measuring tool wants its result.
//
// SIGPIPE is caught only to have writes to a closed pipe return EPIPE, see closedPipe.
func interruptible(parent context.Context) (ctx context.Context, letGo, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGINT, syscall.SIGTERM)
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	over := make(chan struct{})
	go func() {
		select {
		case <-end:
			cancel()
			select {
			case <-time.After(sameSignal):
			case <-over:
			}
			signal.Stop(end)
		case <-ctx.Done():
		}
	}()
	letGo = func() { signal.Stop(end) }
	return ctx, letGo, func() {
		close(over)
		letGo()
		signal.Stop(pipe)
		cancel()
	}
}
