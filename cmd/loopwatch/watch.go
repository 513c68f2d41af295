// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/loopwatch/loopwatch/internal/observe"
	"github.com/loopwatch/loopwatch/internal/output"
	"github.com/loopwatch/loopwatch/internal/priority"
	"github.com/loopwatch/loopwatch/internal/report/json"
	"github.com/loopwatch/loopwatch/internal/report/text"
)

const formatJSONL = "jsonl"

// printEvery is how often it is looked whether a line is due that no block brings with it.
const printEvery = 250 * time.Millisecond

// watchQueue is how many blocks may wait for a slow reader before they are dropped, and watchQueueSize how many bytes of them.
const (
	watchQueue     = 4096
	watchQueueSize = 24 << 20
)

func (a *app) watchCommand() *cobra.Command {
	var f observeFlags
	format := choice{formatText, []string{formatText, formatJSONL}}
	c := &cobra.Command{
		Use:   "watch",
		Short: "Print each block of an event loop as it happens",
		Long: `watch prints a line for each block as it ends, and one before for a block that is still going on,
until it is interrupted. Its text counts blocks that repeat and prints their number every ten seconds;
jsonl is one JSON object a block, none left out.

--output appends to a file. SIGHUP has it open that file anew, after it was renamed (logrotate). Who
reads too slowly misses blocks, which are counted; the programs watched never wait.`,
		Example: "  sudo loopwatch watch\n" +
			"  sudo loopwatch watch --pid 1234 --children --threshold 20ms\n" +
			"  sudo loopwatch watch --format jsonl | jq -r '[.cause, .culprit.function, .duration_ns] | @tsv'",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.prefer(c, &f, priority.Own, func(usualPriority) error { return a.watch(c, &f, format.value) })
		},
	}
	f.register(c)
	f.forever(c)
	c.Flags().VarP(&format, "format", "f", "what to print: "+format.list())
	complete(c, "format", format.allowed)
	return c
}

func (a *app) watch(c *cobra.Command, f *observeFlags, format string) error {
	if err := f.check(c); err != nil {
		return err
	}
	out, err := output.OpenStream(c.Context(), outputFlag, f.output, a.stdout)
	if err != nil {
		return err
	}
	defer out.Abandon()

	ctx, stop := context.WithCancel(c.Context())
	defer stop()
	options := f.options(a.startLog(f))
	line := a.newProgress(options.Duration)
	options.Starting, options.Warn = line.starting, line.warn
	options.Ready = func(s observe.Status) {
		line.begin()
		a.sayWatching(s, time.Duration(f.threshold))
	}
	p := &printer{w: out.Lines(line.warn, stop), queue: make(chan observe.Sighting, watchQueue)}
	if p.w.CanReopen() {
		h, forget := catchHangups()
		defer forget()
		p.hangups = h.signals
		p.reopen = func() {
			if h.final() {
				stop()
				return
			}
			p.w.Reopen(ctx)
		}
	}
	if format == formatText {
		p.text = text.NewStream(p.w, a.textOptions(f))
	}
	printed := make(chan struct{})
	go func() { defer close(printed); p.run() }()

	lost, err := a.watchBlocks(ctx, options, p.enqueue)
	close(p.queue)
	<-printed
	if n := p.dropped.Load(); n > 0 {
		line.warn(fmt.Sprintf("%s not printed: the reader of %s is too slow", count(n, "block"), out.Name()))
	}
	if n := p.w.Dropped(); n > 0 {
		line.warn(fmt.Sprintf("%s not printed: %s could not be written to", count(n, "line"), out.Name()))
	}
	if lost.Events > 0 || lost.Stacks > 0 {
		line.warn(fmt.Sprintf("%s and %s lost on the way", count(lost.Events, "event"), count(lost.Stacks, "stack")))
	}
	return err
}

// printer prints blocks on a goroutine of its own: the observation does not wait for it.
type printer struct {
	w       *output.Lines
	text    *text.Stream // nil for jsonl
	queue   chan observe.Sighting
	waiting atomic.Int64 // bytes in queue
	dropped atomic.Int64
	hangups <-chan os.Signal // each has reopen called
	reopen  func()
}

func (p *printer) enqueue(s observe.Sighting) {
	size := int64(s.Size())
	if p.waiting.Add(size) <= max(watchQueueSize, size) { // or one that is too large would never be printed
		select {
		case p.queue <- s:
			return
		default:
		}
	}
	p.waiting.Add(-size)
	p.dropped.Add(1)
}

// run prints until the queue is closed. Errors are the writer's to deal with.
func (p *printer) run() {
	tick := time.NewTicker(printEvery)
	defer tick.Stop()
	for {
		select {
		case s, more := <-p.queue:
			if !more {
				if p.text != nil {
					_ = p.text.Flush(time.Now(), true)
				}
				return
			}
			p.waiting.Add(-int64(s.Size()))
			p.print(&s)
		case <-p.hangups:
			p.reopen()
		case now := <-tick.C:
			p.w.CheckReader()
			if p.text != nil {
				_ = p.text.Flush(now, false)
			}
		}
	}
}

func (p *printer) print(s *observe.Sighting) {
	if p.text != nil {
		_ = p.text.Write(&s.Block, s.Loop, s.Start, time.Now())
		return
	}
	_ = json.WriteBlock(p.w, s.Block)
}
