// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/output"
	"github.com/loopwatch/loopwatch/internal/report"
	"github.com/loopwatch/loopwatch/internal/report/ci"
	"github.com/loopwatch/loopwatch/internal/report/text"
	"github.com/loopwatch/loopwatch/internal/report/words"
	"github.com/loopwatch/loopwatch/internal/summary"
)

// formatText is the format for people at a terminal, formatJSON the one for machines.
const (
	formatText = "text"
	formatJSON = "json"
)

// reportFormats lists the formats of a report, the default first.
func reportFormats() choice { return choice{formatText, report.Names()} }

// checkFormat refuses to fill a terminal with bytes it would obey.
func (a *app) checkFormat(c *cobra.Command, format, file string) error {
	f, _ := report.Named(format)
	return a.checkBinary(c, format, f.Binary, file)
}

func (a *app) checkBinary(c *cobra.Command, format string, binary bool, file string) error {
	if _, terminal := a.screen(a.stdout); binary && terminal && (file == "" || file == output.Stdout) {
		return usage(c, "a %s profile is no text: add --output FILE", format)
	}
	return nil
}

// render writes the report in the format asked for.
func (a *app) render(w io.Writer, rep *model.Report, f *reportFlags) error {
	format, _ := report.Named(f.format.value)
	o := report.Options{Text: a.textOptions(&f.observeFlags), CI: ci.Options{Fail: f.failOnBlock}}
	if directory, err := os.Getwd(); err == nil {
		o.CI.Directory, o.CI.WorkTree = directory, workTree(directory)
	}
	return format.Write(w, rep, o)
}

// workTree returns the top of the git work tree that a directory lies in, or the directory itself.
func workTree(directory string) string {
	for at := directory; ; at = filepath.Dir(at) {
		if _, err := os.Lstat(filepath.Join(at, ".git")); err == nil {
			return at
		}
		if at == filepath.Dir(at) {
			return directory
		}
	}
}

// textOptions lays text out for where it goes.
func (a *app) textOptions(f *observeFlags) text.Options {
	options := text.Options{Verbose: f.verbose}
	if f.output == "" || f.output == output.Stdout {
		columns, terminal := a.screen(a.stdout)
		options.Width = columns
		options.Color = terminal && !f.noColor && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	}
	return options
}

// leftOut says what a format without words cannot: that the report lists fewer blocks than there
// were.
func leftOut(rep *model.Report, format string) string {
	n := rep.Lost.Reasons[summary.ReasonBlocksOverLimit]
	if f, _ := report.Named(format); n == 0 || !f.Silent {
		return ""
	}
	return fmt.Sprintf("%s, the shortest, are not in this %s file; observe for less time or with a higher --threshold to have all",
		words.Plural(n, "block"), format)
}
