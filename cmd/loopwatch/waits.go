// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/loopwatch/loopwatch/internal/output"
	"github.com/loopwatch/loopwatch/internal/priority"
	"github.com/loopwatch/loopwatch/internal/report"
	"github.com/loopwatch/loopwatch/internal/waits"
)

// waitsFlags are those of the waits command.
type waitsFlags struct {
	pids     pidList
	children bool
	duration durationValue
	rate     waitRate
	lookFlags
}

func (a *app) waitsCommand() *cobra.Command {
	f := waitsFlags{duration: durationValue(defaultDuration), rate: waits.DefaultRate, lookFlags: lookFlags{format: choice{formatText, report.WaitNames()}}}
	c := &cobra.Command{
		Use:   "waits",
		Short: "Say where the tasks of asyncio spend their waiting",
		Long: `waits looks at the pending tasks of every asyncio loop of the host, or of the processes given with
--pid, some times a second, and adds up what they wait for: locks, semaphores, queues, threads, peers,
time. It says first where tasks wait for one another, and who holds what they want. No process is
stopped, and none is changed. Ctrl-C ends the observation early and prints what was seen.

Exit status: 0 done, 1 could not do it, 2 wrong usage.`,
		Example: "  sudo loopwatch waits\n" +
			"  sudo loopwatch waits --pid 1234 --children --duration 1m\n" +
			"  sudo loopwatch waits --format html --output waits.html",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			shared := f.shared()
			return a.prefer(c, &shared, priority.Own, func(usualPriority) error { return a.waits(c, &f) })
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.VarP(&f.pids, "pid", "p", "watch only this process; may be given several times (default every Python process, now and later)")
	flags.BoolVar(&f.children, "children", false, "with --pid: watch the processes it started, too")
	flags.VarP(&f.duration, "duration", "d", "how long to observe")
	flags.VarP(&f.rate, "rate", "r", "samples a second; fewer where they would take more than a hundredth of a CPU")
	f.register(c, "every wait with its whole chain, every loop")
	return c
}

func (a *app) waits(c *cobra.Command, f *waitsFlags) error {
	shared := f.shared()
	shared.pids, shared.children = f.pids, f.children
	if err := shared.check(c); err != nil {
		return err
	}
	format, _ := report.WaitsNamed(f.format.value)
	if err := a.checkBinary(c, format.Name, format.Binary, f.output); err != nil {
		return err
	}
	out, err := output.Open(c.Context(), outputFlag, f.output, a.stdout)
	if err != nil {
		return err
	}
	defer out.Abandon()
	line := a.newProgress(time.Duration(f.duration))
	line.starting("looking for Python processes")
	profile, refused, err := a.takeWaits(c.Context(), waits.Options{
		PIDs: f.pids, Children: f.children, Duration: time.Duration(f.duration), Rate: int(f.rate), Patterns: f.code.patterns,
		Progress: func(s waits.Status) {
			line.begin()
			line.running(s.Elapsed, fmt.Sprintf("%s in %s, %s", count(int64(s.Loops), "loop"), count(int64(s.Processes), "Python process"), count(int64(s.Tasks), "task")))
		},
	})
	line.erase()
	if err != nil {
		return err
	}
	err = out.Write(func(w io.Writer) error { return format.Write(w, profile, a.textOptions(&shared)) })
	if err != nil {
		return err
	}
	return a.sayRefused(refused)
}

// waitRate is a number of samples a second.
type waitRate int

func (r *waitRate) Set(s string) error {
	v, err := strconv.Atoi(s)
	if err != nil || v < 1 || v > waits.MaxRate {
		return fmt.Errorf("must be a whole number from 1 to %d", waits.MaxRate)
	}
	*r = waitRate(v)
	return nil
}

func (r *waitRate) String() string { return strconv.Itoa(int(*r)) }
func (r *waitRate) Type() string   { return "hz" }
