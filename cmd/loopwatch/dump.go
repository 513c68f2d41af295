// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/loopwatch/loopwatch/internal/dump"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/output"
	"github.com/loopwatch/loopwatch/internal/priority"
	"github.com/loopwatch/loopwatch/internal/python"
	"github.com/loopwatch/loopwatch/internal/report/json"
	"github.com/loopwatch/loopwatch/internal/report/text"
)

// dumpFlags are those of the dump command: it does not observe, it looks once.
type dumpFlags struct {
	pids      pidList
	threshold durationValue
	lookFlags
}

// lookFlags are those of the commands that hook nothing.
type lookFlags struct {
	format  choice
	output  string
	nice    niceValue
	code    codeFlags
	noColor bool
	verbose bool
}

// register declares the flags on c. everything is what --verbose shows.
func (f *lookFlags) register(c *cobra.Command, everything string) {
	flags := c.Flags()
	flags.VarP(&f.format, "format", "f", "what to print: "+f.format.list())
	flags.StringVarP(&f.output, "output", "o", "", "write the result to this `file` instead of stdout")
	f.code.register(c)
	f.nice.register(c)
	flags.BoolVar(&f.noColor, "no-color", false, "no colours (also: the environment variable NO_COLOR, or stdout is no terminal)")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "show everything: "+everything)
	complete(c, "format", f.format.allowed)
}

// shared returns those of the flags that the commands have that observe.
func (f *lookFlags) shared() observeFlags {
	return observeFlags{nice: f.nice, output: f.output, noColor: f.noColor, verbose: f.verbose}
}

func (a *app) dumpCommand() *cobra.Command {
	f := dumpFlags{threshold: durationValue(defaultThreshold), lookFlags: lookFlags{format: choice{formatText, []string{formatText, formatJSON}}}}
	c := &cobra.Command{
		Use:   "dump [PID...]",
		Short: "Say what every event loop is doing right now, with its stack",
		Long: `dump looks once at every Python process of the host, or at those named, and says of each event loop
whether it is idle, active or blocked, since when, where and why; of asyncio's also which tasks there
are and which waits for which. It shows the other threads with their stacks, and who holds the GIL.
No process is stopped.

Exit status: 0 done, 1 could not do it, 2 wrong usage.`,
		Example: "  sudo loopwatch dump\n  sudo loopwatch dump 1234\n  sudo loopwatch dump --format json 1234 | jq '.processes[].loops[].state'",
		Args: func(c *cobra.Command, args []string) error {
			for _, arg := range args {
				if err := f.pids.Set(arg); err != nil {
					return usage(c, "invalid argument %q: %w", arg, err)
				}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			shared := f.shared()
			return a.prefer(c, &shared, priority.Own, func(usualPriority) error { return a.dump(c, &f) })
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.VarP(&f.pids, "pid", "p", "look only at this process, as if it were an argument; may be given several times")
	flags.VarP(&f.threshold, "threshold", "t", "a loop that has been active for at least this long is blocked")
	f.register(c, "whole stacks, every process, every task")
	return c
}

func (a *app) dump(c *cobra.Command, f *dumpFlags) error {
	if c.Flags().Changed("output") && f.output == "" {
		return usage(c, "--output needs the name of a file")
	}
	out, err := output.Open(c.Context(), outputFlag, f.output, a.stdout)
	if err != nil {
		return err
	}
	defer out.Abandon()
	var d *model.Dump
	var refused []*python.PIDError
	shared := f.shared()
	ctx := c.Context()
	err = interruptibly(ctx, func() (err error) {
		d, refused, err = a.takeDump(ctx, dump.Options{PIDs: f.pids, Threshold: time.Duration(f.threshold), Patterns: f.code.patterns})
		return err
	})
	if err != nil {
		return err
	}
	err = out.Write(func(w io.Writer) error {
		if f.format.value == formatJSON {
			return json.WriteDump(w, d)
		}
		return text.WriteDump(w, d, a.textOptions(&shared))
	})
	if err != nil {
		return err
	}
	return a.sayRefused(refused)
}

// sayRefused says why some of the processes asked for are missing.
func (a *app) sayRefused(refused []*python.PIDError) error {
	for i, r := range refused {
		if i == len(refused)-1 {
			return r
		}
		a.fail(r)
	}
	return nil
}
