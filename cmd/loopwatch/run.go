// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/loopwatch/loopwatch/internal/child"
	"github.com/loopwatch/loopwatch/internal/priority"
)

// childError ends "run" with the status of its command.
type childError int

func (e childError) Error() string { return fmt.Sprintf("the command ended with status %d", int(e)) }

// runFlags are those of the run command: it chooses itself which processes to watch.
type runFlags struct {
	reportFlags
	asRoot bool
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run [flags] -- COMMAND [ARGUMENT...]",
		Short: "Start a command, watch it and its children, report when it ends",
		Long: `run starts a command and watches the event loops of it and of all processes it starts, from their
first wait on. When the command ends, it prints the report.

Under sudo the command runs as the user who called sudo; --as-root has it run as root. Signals are
passed on. The report goes to stdout, after what the command printed there: --output keeps them apart.
Where the command cannot be observed, that is said, and it runs all the same.

Exit status: that of the command, 128 and the signal's number where one ended it; 3 with
--fail-on-block when a block was seen that neither --ignore nor --baseline lets through, 1 with it when the command could not be observed; 1 where the
command could not be started; 2 wrong usage.`,
		Example: "  sudo loopwatch run -- python3 app.py\n" +
			"  sudo loopwatch run --fail-on-block --threshold 50ms -- \"$(command -v pytest)\" tests",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(c, "no command given: write it after --")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			// The session is the command's, too.
			return a.prefer(c, &f.observeFlags, priority.Never, func(usual usualPriority) error { return a.runChild(c, &f, args, usual) })
		},
	}
	f.register(c)
	f.forever(c)
	c.Flags().SetInterspersed(false) // what follows the command is its own
	for _, name := range []string{"pid", "children"} {
		// Shared by all that observe; here the command says what to watch.
		if err := c.Flags().MarkHidden(name); err != nil {
			panic(err)
		}
	}
	f.format = reportFormats()
	c.Flags().VarP(&f.format, "format", "f", "what to print: "+f.format.list())
	c.Flags().BoolVar(&f.failOnBlock, "fail-on-block", false, "end with status 3 when a block was seen")
	f.known.register(c)
	c.Flags().BoolVar(&f.asRoot, "as-root", false, "under sudo: run the command as root, too")
	complete(c, "format", f.format.allowed)
	return c
}

func (a *app) runChild(c *cobra.Command, f *runFlags, args []string, usual usualPriority) error {
	if len(f.pids) > 0 || f.children {
		return usage(c, "run watches what it starts: leave out --pid and --children")
	}
	if err := f.check(c); err != nil {
		return err
	}
	if err := a.checkFormat(c, f.format.value, f.output); err != nil {
		return err
	}
	command, err := child.New(args, f.asRoot)
	if err != nil {
		return err
	}
	blockers, err := f.known.open(c.Context(), a, c, f.threshold)
	if err != nil {
		return err
	}
	defer blockers.close()
	r := &commandRun{app: a, flags: f, known: blockers, command: command, usual: usual, interrupted: command.Catch()}
	defer command.Release()
	return r.do(c.Context())
}
