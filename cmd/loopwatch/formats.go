// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report"
	"github.com/loopwatch/loopwatch/internal/report/html"
	"github.com/loopwatch/loopwatch/internal/report/profile"
	"github.com/loopwatch/loopwatch/internal/summary"
)

// formatText is the format for people at a terminal.
const formatText = "text"

// reportWriters are the formats for machines and viewers.
var reportWriters = map[string]func(io.Writer, *model.Report) error{
	"json":       report.WriteJSON,
	"folded":     profile.WriteFolded,
	"speedscope": profile.WriteSpeedscope,
	"pprof":      profile.WritePprof,
	"html":       html.Write,
}

// reportFormats lists the formats of a report, the default first.
func reportFormats() choice {
	return choice{formatText, []string{formatText, "json", "folded", "speedscope", "pprof", "html"}}
}

// checkFormat refuses to fill a terminal with bytes it would obey.
func (a *app) checkFormat(c *cobra.Command, format, output string) error {
	if _, terminal := a.screen(a.stdout); format == "pprof" && terminal && (output == "" || output == stdoutName) {
		return usage(c, "a pprof profile is no text: add --output FILE")
	}
	return nil
}

// render writes the report in the format asked for.
func (a *app) render(w io.Writer, rep *model.Report, f *reportFlags) error {
	if write := reportWriters[f.format.value]; write != nil {
		return write(w, rep)
	}
	return report.WriteText(w, rep, a.textOptions(&f.observeFlags))
}

// textOptions lays text out for where it goes.
func (a *app) textOptions(f *observeFlags) report.TextOptions {
	options := report.TextOptions{Verbose: f.verbose}
	if f.output == "" || f.output == stdoutName {
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
	if n == 0 || format == formatText || format == "json" || format == "html" {
		return ""
	}
	return fmt.Sprintf("%s, the shortest, are not in this %s file; observe for less time or with a higher --threshold to have all",
		report.Plural(n, "block"), format)
}
