// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/loopwatch/loopwatch/internal/live"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/observe"
	"github.com/loopwatch/loopwatch/internal/output"
	"github.com/loopwatch/loopwatch/internal/priority"
	"github.com/loopwatch/loopwatch/internal/tui"
)

// plainRows bounds the loops of one table of top where there is no terminal to scroll.
const plainRows = 20

func (a *app) topCommand() *cobra.Command {
	var f observeFlags
	delay := delayValue(time.Second)
	c := &cobra.Command{
		Use:   "top",
		Short: "Show all event loops live, the most blocked first",
		Long: `top shows every Python event loop in a table that is refreshed every second: who is blocked right
now, who was blocked most and by which line, and how busy each loop is. Enter looks into one loop,
? explains keys and columns, q leaves.

Without a terminal, or with --output, it prints the same as plain lines, once every --delay, until it
is interrupted.`,
		Example: "  sudo loopwatch top\n" +
			"  sudo loopwatch top --pid 1234 --children --threshold 20ms\n" +
			"  sudo loopwatch top --delay 10s --duration 1m | tee loops.txt",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.prefer(c, &f, priority.Alone, func(usualPriority) error { return a.top(c, &f, time.Duration(delay)) })
		},
	}
	f.register(c)
	f.forever(c)
	c.Flags().Var(&delay, "delay", "time between two refreshes")
	return c
}

func (a *app) top(c *cobra.Command, f *observeFlags, delay time.Duration) error {
	if err := f.check(c); err != nil {
		return err
	}
	// On top of what interrupts every command: these would leave the terminal in disorder.
	ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGHUP, syscall.SIGQUIT)
	defer stop()
	options := f.options(a.startLog(f))
	line := a.newProgress(options.Duration)
	options.Warn = line.warn
	var lost model.Lost
	observing := func(ctx context.Context, thresholds <-chan time.Duration, show func(*live.View)) (err error) {
		lost, err = a.watchLive(ctx, options, observe.LiveOptions{Every: delay, Thresholds: thresholds, Show: show})
		return err
	}
	terminal, ok := a.stdout.(*os.File)
	if _, is := a.screen(a.stdout); !ok || !is || os.Getenv("TERM") == "dumb" || f.output != "" && f.output != output.Stdout {
		terminal = nil
	}
	if err := a.checkLog(c, f, terminal); err != nil {
		return err
	}
	var err error
	if terminal != nil {
		err = tui.Run(ctx, terminal, a.textOptions(f).Color, observing)
	} else {
		err = a.topPlain(ctx, f, &options, line, observing)
	}
	if lost.Events > 0 || lost.Stacks > 0 {
		line.warn(fmt.Sprintf("%s and %s lost on the way", count(lost.Events, "event"), count(lost.Stacks, "stack")))
	}
	return err
}

// topPlain prints views as lines.
func (a *app) topPlain(ctx context.Context, f *observeFlags, options *observe.Options, line *progress, observing tui.Observe) error {
	out, err := output.OpenStream(ctx, outputFlag, f.output, a.stdout)
	if err != nil {
		return err
	}
	defer out.Abandon()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	options.Ready = func(s observe.Status) {
		a.sayWatching(s, time.Duration(f.threshold))
	}
	rows := plainRows
	if f.verbose {
		rows = 0
	}
	w := out.Lines(line.warn, stop)
	missed, err := tui.Plain(ctx, w, rows, observing)
	if missed > 0 {
		line.warn(fmt.Sprintf("%s not printed: the reader of %s is too slow", count(int64(missed), "table"), out.Name()))
	}
	if n := w.Dropped(); n > 0 {
		line.warn(fmt.Sprintf("%s not printed: %s could not be written to", count(n, "table"), out.Name()))
	}
	return err
}

// delayValue is a time between two refreshes that makes sense for a screen and for the past that is
// kept of each loop.
type delayValue time.Duration

const (
	minDelay = 200 * time.Millisecond
	maxDelay = time.Hour
)

func (d *delayValue) Set(s string) error {
	v, err := time.ParseDuration(s)
	if err != nil {
		return errors.New("not a duration; write a number with its unit, like 500ms, 1s or 1m")
	}
	if v < minDelay || v > maxDelay {
		return fmt.Errorf("must be from %s to %s", minDelay, maxDelay)
	}
	*d = delayValue(v)
	return nil
}

func (d *delayValue) String() string { return time.Duration(*d).String() }
func (d *delayValue) Type() string   { return "duration" }
