// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/loopwatch/loopwatch/internal/cpython/release"
)

// rootCommand returns the whole command tree. Its commands return errors, they print none.
func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "loopwatch",
		Short: "Names the line of code that blocked each Python event loop of a host",
		Long: `loopwatch watches the Python event loops of a Linux host from the kernel, without a change to
the programs, and says which loop was blocked, when, for how long, and by which line of code.

It needs root or some capabilities, Linux 5.10 or later, and CPython ` + supported() + `: "loopwatch doctor"
says what is there.`,
		Example:       "  sudo loopwatch report\n  sudo loopwatch report --pid 1234 --threshold 20ms --duration 1m",
		Args:          subcommandNeeded,
		RunE:          func(*cobra.Command, []string) error { return nil }, // Args never lets it come to this
		SilenceErrors: true,
		SilenceUsage:  true,

		SuggestionsMinimumDistance: 2,
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return usage(c, "%w", err) })
	root.AddCommand(a.reportCommand(), a.watchCommand(), a.topCommand(), a.runCommand(), a.dumpCommand(), a.waitsCommand(), a.diffCommand(), a.doctorCommand(), a.versionCommand())
	root.AddCommand(buildCommands()...)
	root.SetHelpCommand(helpCommand())
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.HasSubCommands() && !c.Runnable() {
			// Left alone, cobra answers "completion nonsense" with help and success.
			c.Args, c.RunE = subcommandNeeded, root.RunE
			for _, shell := range c.Commands() {
				shell.Args = noArguments
			}
		}
	}
	return root
}

// supported names the releases of CPython that can be watched.
func supported() string {
	oldest, newest := release.Supported()
	return fmt.Sprintf("3.%d to 3.%d", oldest, newest)
}

func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Help about any command",
		RunE: func(c *cobra.Command, args []string) error {
			about, rest, err := c.Root().Find(args)
			if err != nil || about == nil || len(rest) > 0 {
				return usage(c.Root(), "no such command: %q", strings.Join(args, " "))
			}
			about.InitDefaultHelpFlag() // or help for COMMAND would not list --help
			return about.Help()
		},
	}
}

// subcommandNeeded refuses any use of a command that only groups others.
func subcommandNeeded(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		if !c.HasParent() {
			return usage(c, "no command given: begin with 'sudo loopwatch report'")
		}
		return usage(c, "no command given")
	}
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		return usage(c, "no such command: %q; did you mean %q?", args[0], near[0])
	}
	return usage(c, "no such command: %q", args[0])
}

// usageError is a command line that makes no sense.
type usageError struct {
	error
	command string
}

func (e usageError) Error() string { return fmt.Sprintf("%v; see '%s --help'", e.error, e.command) }
func (e usageError) Unwrap() error { return e.error }

// usage returns a usageError that points to the help of c.
func usage(c *cobra.Command, format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...), c.CommandPath()}
}
