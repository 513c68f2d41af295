// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/loopwatch/loopwatch/internal/compare"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/output"
	"github.com/loopwatch/loopwatch/internal/report/difference"
	"github.com/loopwatch/loopwatch/internal/report/json"
)

// errWorse ends a command that did what it should and found the regression it was told to fail on.
var errWorse = errors.New("a blocker is new or worse")

const formatHTML = "html"

// diffFlags are the flags of the diff command.
type diffFlags struct {
	format           choice
	output           string
	failOnWorse      bool
	noColor, verbose bool
}

func (a *app) diffCommand() *cobra.Command {
	f := diffFlags{format: choice{formatText, []string{formatText, formatJSON, formatHTML}}}
	c := &cobra.Command{
		Use:   "diff [flags] BEFORE AFTER",
		Short: "Compare two reports: what is new, gone, worse or better",
		Long: `diff compares two reports, as before and after a deployment. Each is a JSON report (report --format json)
or a recording (report --record); - is stdin. It needs no privileges.

It says of each blocker whether it is new, gone, worse, better or the same, in figures for an hour for
which loops were watched, and where too little was seen to tell. Both need the same --threshold.

Exit status: 0 done, 1 could not do it, 2 wrong usage, 3 with --fail-on-worse when a blocker is new or worse.`,
		Example: "  loopwatch diff before.json after.json\n" +
			"  loopwatch diff --fail-on-worse --format html --output diff.html before.json after.json",
		Args: func(c *cobra.Command, args []string) error {
			switch {
			case len(args) != 2:
				return usage(c, "diff needs two reports, BEFORE and AFTER")
			case args[0] == output.Stdout && args[1] == output.Stdout:
				return usage(c, "only one of the reports can come from stdin")
			case c.Flags().Changed("output") && f.output == "":
				return usage(c, "--output needs the name of a file")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return a.diff(c, &f, args[0], args[1]) },
	}
	c.Flags().SortFlags = false
	c.Flags().VarP(&f.format, "format", "f", "what to print: "+f.format.list())
	c.Flags().StringVarP(&f.output, "output", "o", "", "write the result to this `file` instead of stdout")
	c.Flags().BoolVar(&f.failOnWorse, "fail-on-worse", false, "end with status 3 when a blocker is new or worse")
	c.Flags().BoolVar(&f.noColor, "no-color", false, "no colours (also: the environment variable NO_COLOR, or stdout is no terminal)")
	c.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "show every blocker")
	complete(c, "format", f.format.allowed)
	return c
}

func (a *app) diff(c *cobra.Command, f *diffFlags, before, after string) error {
	if a.letGo != nil {
		a.letGo() // nothing is lost if a signal ends this at once
	}
	line := a.newProgress(0)
	var reports [2]*model.Report
	for i, name := range []string{before, after} {
		var err error
		if reports[i], err = a.readReport(line, name); err != nil {
			return err
		}
	}
	d, err := compare.Reports(reports[0], reports[1])
	if err != nil {
		return err
	}
	out, err := output.Open(c.Context(), outputFlag, f.output, a.stdout)
	if err != nil {
		return err
	}
	defer out.Abandon()
	err = out.Write(func(w io.Writer) error {
		switch f.format.value {
		case formatJSON:
			return json.WriteDiff(w, d)
		case formatHTML:
			return difference.WriteHTML(w, d, reports[0], reports[1])
		}
		o := a.textOptions(&observeFlags{output: f.output, noColor: f.noColor, verbose: f.verbose})
		return difference.WriteText(w, d, difference.Options{Width: o.Width, Color: o.Color, Verbose: o.Verbose})
	})
	if err != nil {
		return err
	}
	if f.failOnWorse && compare.Worse(d) {
		return errWorse
	}
	return nil
}
