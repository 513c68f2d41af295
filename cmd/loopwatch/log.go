// SPDX-License-Identifier: Apache-2.0

package main

import (
	"log/slog"
	"os"

	"github.com/spf13/cobra"
)

// noLog is the level at which nothing is logged.
const noLog = "off"

// logLevels are the levels that --log-level takes.
func logLevels() choice {
	return choice{value: noLog, allowed: []string{"debug", "info", "warn", "error", noLog}}
}

// startLog returns the logger that the flags ask for. It writes to stderr, in place of the progress line. A string in it that
// is not plain is quoted.
func (a *app) startLog(f *observeFlags) *slog.Logger {
	var level slog.Level
	if f.logLevel.value == noLog || level.UnmarshalText([]byte(f.logLevel.value)) != nil {
		return slog.New(slog.DiscardHandler)
	}
	a.logging = true
	return slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: level}))
}

// checkLog refuses a log on the terminal that a command draws on.
func (a *app) checkLog(c *cobra.Command, f *observeFlags, drawn *os.File) error {
	if _, terminal := a.screen(a.stderr); !terminal || drawn == nil || f.logLevel.value == noLog {
		return nil
	}
	return usage(c, "the log would be written over the screen; send it to a file: 2>loopwatch.log")
}
