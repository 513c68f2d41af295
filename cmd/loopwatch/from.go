// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/output"
	"github.com/loopwatch/loopwatch/internal/saved"
)

const fromFlag = "from"

// withFrom are the flags that say what to do with a report. All others say how to observe.
var withFrom = []string{fromFlag, "format", "output", "fail-on-block", ignoreFlag, baselineFlag, writeBaselineFlag, "no-color", "verbose", "help"}

// reportFrom prints the report in a file.
func (a *app) reportFrom(c *cobra.Command, f *reportFlags) error {
	if f.from == "" {
		return usage(c, "--from needs the name of a file")
	}
	var wrong []string
	c.Flags().Visit(func(flag *pflag.Flag) {
		if !slices.Contains(withFrom, flag.Name) {
			wrong = append(wrong, "--"+flag.Name)
		}
	})
	if len(wrong) > 0 {
		return usage(c, "--from observes nothing: leave out %s", strings.Join(wrong, " and "))
	}
	if err := f.check(c); err != nil {
		return err
	}
	if err := a.checkFormat(c, f.format.value, f.output); err != nil {
		return err
	}
	if a.letGo != nil {
		a.letGo() // nothing is lost if a signal ends this at once
	}
	line := a.newProgress(0)
	blockers, err := f.known.open(c.Context(), a, c, 0)
	if err != nil {
		return err
	}
	defer blockers.close()
	rep, err := a.readReport(line, f.from)
	if err != nil {
		return err
	}
	out, err := output.Open(c.Context(), outputFlag, f.output, a.stdout)
	if err != nil {
		return err
	}
	defer out.Abandon()
	if err := blockers.mark(line, rep, f.format.value); err != nil {
		return err
	}
	if err := out.Write(func(w io.Writer) error { return a.render(w, rep, f) }); err != nil {
		return err
	}
	return a.reported(line, rep, f)
}

// readReport returns the report in a file. What the file has that the report does not is said on line.
func (a *app) readReport(line *progress, name string) (*model.Report, error) {
	rep, warning, err := saved.Report(name)
	if warning != "" {
		line.warn(warning)
	}
	return rep, err
}
