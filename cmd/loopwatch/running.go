// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/loopwatch/loopwatch/internal/child"
	"github.com/loopwatch/loopwatch/internal/crash"
	"github.com/loopwatch/loopwatch/internal/known"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/observe"
	"github.com/loopwatch/loopwatch/internal/output"
)

// commandRun runs a command under observation. Whatever becomes of the observation, the command runs to its end.
type commandRun struct {
	*app
	flags       *runFlags
	known       *knownBlockers
	command     *child.Child
	usual       usualPriority
	interrupted <-chan struct{} // before the command has started

	begun    bool  // an attempt to start the command was made
	startErr error // what came of it
	ended    chan int
}

// observed is what an observation has come to.
type observed struct {
	report *model.Report
	err    error
}

func (r *commandRun) do(ctx context.Context) error {
	out, err := output.Open(ctx, outputFlag, r.flags.output, r.stdout)
	if err != nil {
		return err // wrong on the command line, and nothing has begun
	}
	defer out.Abandon()
	// Ctrl-C is the command's to take: the report comes when it has ended.
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	done := make(chan observed, 1)
	go func() { done <- r.observe(ctx, stop) }()
	var seen observed
	select {
	case seen = <-done:
	case <-r.interrupted: // whatever the observation waits for
		return r.notStarted(r.command.Start())
	}
	if seen.err != nil && r.startErr == nil {
		return r.unobserved(seen.err)
	}
	if r.startErr != nil {
		return r.notStarted(r.startErr)
	}
	status := <-r.ended // --duration may have ended the observation before
	if err := r.write(out, seen.report); err != nil {
		r.fail(err)
		crash.Trace(r.stderr, err)
	}
	if r.flags.failOnBlock && !known.LetsPass(seen.report) {
		return errBlocked
	}
	return endedWith(status)
}

// observe observes what the command does, which it starts when all is ready.
func (r *commandRun) observe(ctx context.Context, stop func()) (seen observed) {
	line := r.newProgress(0)
	options := r.flags.options(r.startLog(&r.flags.observeFlags))
	// What loopwatch starts from now on, and nothing else: it is no Python itself.
	options.PIDs, options.Children = []int{os.Getpid()}, true
	options.Starting, options.Warn = line.starting, line.warn
	options.Ready = func(observe.Status) {
		line.begin()
		if r.start(stop); r.startErr != nil {
			stop()
		}
	}
	seen.err = crash.Guard(func() (err error) {
		seen.report, err = r.app.observe(ctx, options)
		return err
	})
	line.begin()
	return seen
}

// start starts the command, and calls over when it has ended.
func (r *commandRun) start(over func()) {
	r.begun, r.ended = true, make(chan int, 1)
	tried := false
	r.startErr = r.usual(func() error { tried = true; return r.command.Start() })
	if !tried { // better with a priority of loopwatch's than not at all
		r.startErr = r.command.Start()
	}
	if r.startErr == nil {
		go func() {
			r.ended <- r.command.Wait()
			over()
			time.Sleep(sameSignal) // one that ended the command came here, too
			r.letGo()
		}()
	}
}

// unobserved has the command run to its end though it cannot be observed, or no longer.
func (r *commandRun) unobserved(why error) error {
	said := "the command runs, but is not observed"
	if r.begun {
		said = "the command goes on, but is no longer observed, and there is no report"
	} else if r.start(func() {}); r.startErr != nil {
		r.fail(why)
		return r.notStarted(r.startErr)
	}
	r.fail(fmt.Errorf("%s: %w", said, why))
	crash.Trace(r.stderr, why)
	if status := <-r.ended; status != 0 {
		return endedWith(status)
	}
	if r.flags.failOnBlock {
		return errSaid // nobody knows whether there was a block
	}
	return nil
}

// notStarted says why the command was not started.
func (r *commandRun) notStarted(err error) error {
	early := (*child.Interrupted)(nil)
	if !errors.As(err, &early) {
		return err
	}
	r.fail(err)
	return childError(early.Status())
}

// write prints the report.
func (r *commandRun) write(out *output.Output, rep *model.Report) error {
	return crash.Guard(func() error {
		if err := r.known.mark(r.newProgress(0), rep, r.flags.format.value); err != nil {
			return err
		}
		if err := out.Write(func(w io.Writer) error { return r.render(w, rep, &r.flags.reportFlags) }); err != nil {
			return err
		}
		if warning := leftOut(rep, r.flags.format.value); warning != "" {
			r.newProgress(0).warn(warning)
		}
		return nil
	})
}

// endedWith ends as the command has.
func endedWith(status int) error {
	if status != 0 {
		return childError(status)
	}
	return nil
}
