// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/loopwatch/loopwatch/internal/known"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/observe"
	"github.com/loopwatch/loopwatch/internal/output"
	"github.com/loopwatch/loopwatch/internal/priority"
	"github.com/loopwatch/loopwatch/internal/recording"
)

// The flags that name files to write.
const outputFlag, recordFlag = "--output", "--record"

// errBlocked ends a command that did what it should and saw the block it was told to fail on.
var errBlocked = errors.New("a block was seen")

// reportFlags are the flags of the report command.
type reportFlags struct {
	observeFlags
	format      choice
	failOnBlock bool
	record      string
	from        string
	known       knownFlags
}

func (a *app) reportCommand() *cobra.Command {
	var f reportFlags
	c := &cobra.Command{
		Use:   "report",
		Short: "Observe for a while, then say who blocked which event loop",
		Long: `report watches every Python event loop of the host, or those of the processes given with --pid,
and then prints one report: who blocked what, worst first; every loop; every blocker with its
stack. Ctrl-C ends the observation early and prints what was seen.

With --from it observes nothing and needs no privileges: it prints the report in a file in any format.

Exit status: 0 done, 1 could not do it, 2 wrong usage, 3 with --fail-on-block when a block was seen that
neither --ignore nor --baseline lets through.`,
		Example: "  sudo loopwatch report\n" +
			"  sudo loopwatch report --pid 1234 --children --threshold 20ms --duration 1m\n" +
			"  sudo loopwatch report --format json --output report.json\n" +
			"  sudo loopwatch report --format pprof --output blocked.pb.gz && go tool pprof -http : blocked.pb.gz\n" +
			"  loopwatch report --from report.json --format html --output report.html",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed(fromFlag) {
				return a.reportFrom(c, &f)
			}
			return a.prefer(c, &f.observeFlags, priority.Own, func(usualPriority) error { return a.report(c, &f) })
		},
	}
	f.register(c)
	f.format = reportFormats()
	c.Flags().VarP(&f.format, "format", "f", "what to print: "+f.format.list())
	c.Flags().BoolVar(&f.failOnBlock, "fail-on-block", false, "end with status 3 when a block was seen")
	f.known.register(c)
	c.Flags().StringVar(&f.record, "record", "", "also write what the blocks are judged from to this `file`, to judge it again later")
	c.Flags().StringVar(&f.from, fromFlag, "", "observe nothing: report on what this `file` holds, a JSON report or a recording; - is stdin")
	complete(c, "format", f.format.allowed)
	return c
}

func (a *app) report(c *cobra.Command, f *reportFlags) error {
	if err := f.check(c); err != nil {
		return err
	}
	if c.Flags().Changed("record") && (f.record == "" || f.record == output.Stdout) {
		return usage(c, "--record needs the name of a file")
	}
	if err := a.checkFormat(c, f.format.value, f.output); err != nil {
		return err
	}
	blockers, err := f.known.open(c.Context(), a, c, f.threshold)
	if err != nil {
		return err
	}
	defer blockers.close()
	// Before the observation: a minute of watching is not to be lost to a mistyped directory.
	out, err := output.Open(c.Context(), outputFlag, f.output, a.stdout)
	if err != nil {
		return err
	}
	defer out.Abandon()
	var record *output.Output
	if f.record != "" {
		if record, err = output.Open(c.Context(), recordFlag, f.record, nil); err != nil {
			return err
		}
		defer record.Abandon()
		if record.Same(out) {
			return usage(c, "--record and --output need two files: %s is one", f.record)
		}
	}

	options := f.options(a.startLog(&f.observeFlags))
	line := a.newProgress(options.Duration)
	options.Starting, options.Progress, options.Warn = line.starting, line.update, line.warn
	options.Ready = func(s observe.Status) { line.begin(); line.update(s) }
	rep, recorded, err := a.observeAndRecord(c.Context(), options, record)
	line.erase()
	if err != nil {
		return err
	}
	if err := blockers.mark(line, rep, f.format.value); err != nil {
		return err
	}
	if err := out.Write(func(w io.Writer) error { return a.render(w, rep, f) }); err != nil {
		return err
	}
	if recorded != nil {
		return recorded
	}
	return a.reported(line, rep, f)
}

// reported ends a command that has written a report.
func (a *app) reported(line *progress, rep *model.Report, f *reportFlags) error {
	if warning := leftOut(rep, f.format.value); warning != "" {
		line.warn(warning)
	}
	if f.failOnBlock && !known.LetsPass(rep) {
		return errBlocked
	}
	return nil
}

// observeAndRecord observes, and writes a recording to out unless that is nil. A recording that cannot be written does
// not cost the report.
func (a *app) observeAndRecord(ctx context.Context, o observe.Options, out *output.Output) (rep *model.Report, recorded, err error) {
	if out == nil {
		rep, err = a.observe(ctx, o)
		return rep, nil, err
	}
	recorded = out.Write(func(w io.Writer) error {
		recorder, failed := recording.NewWriter(w)
		if failed != nil {
			return failed
		}
		o.Record = recorder
		if rep, err = a.observe(ctx, o); err != nil {
			return err
		}
		return recorder.Close()
	})
	if bad := (*output.Error)(nil); errors.As(recorded, &bad) && errors.Is(bad, recording.ErrTooLong) {
		bad.Remedy = "take fewer samples with --rate" // it is no fault of the file
	}
	if rep == nil && err == nil {
		err = recorded
	}
	return rep, recorded, err
}
