// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/loopwatch/loopwatch/internal/doctor"
	"github.com/loopwatch/loopwatch/internal/output"
	"github.com/loopwatch/loopwatch/internal/priority"
)

// errSaid ends a command with status 1 whose output has said why already.
var errSaid = errors.New("it does not work, and the output says why")

func (a *app) doctorCommand() *cobra.Command {
	var f observeFlags
	format := choice{formatText, []string{formatText, formatJSON}}
	c := &cobra.Command{
		Use:   "doctor",
		Short: "What this kernel, these privileges and the Python processes here allow, and why not",
		Long: `doctor tries everything loopwatch needs and says what works, what serves in place of what does not,
what is lost, and what to do about it. It lists the Python processes and says which of them can be
watched. It needs no privileges itself, and changes nothing.

Exit status: 0 it works, perhaps by a fallback; 1 nothing can be observed here, or with --pid one of
these processes cannot be watched; 2 wrong usage.`,
		Example: "  sudo loopwatch doctor\n" +
			"  loopwatch doctor --pid 1234\n" +
			"  sudo loopwatch doctor --format json | jq .works",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.prefer(c, &f, priority.Own, func(usualPriority) error { return a.doctor(c.Context(), &f, format.value) })
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.VarP(&f.pids, "pid", "p", "look only at this process; may be given several times (default every Python process)")
	flags.VarP(&format, "format", "f", "what to print: "+format.list())
	flags.StringVarP(&f.output, "output", "o", "", "write the result to this `file` instead of stdout")
	f.nice.register(c)
	flags.BoolVar(&f.noColor, "no-color", false, "no colours (also: the environment variable NO_COLOR, or stdout is no terminal)")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "list all processes")
	complete(c, "format", format.allowed)
	return c
}

func (a *app) doctor(ctx context.Context, f *observeFlags, format string) error {
	out, err := output.Open(ctx, outputFlag, f.output, a.stdout)
	if err != nil {
		return err
	}
	defer out.Abandon()
	_, terminal := a.screen(a.stderr)
	if terminal {
		fmt.Fprint(a.stderr, "trying what this kernel allows …") // takes seconds on a busy host
	}
	var d *doctor.Diagnosis
	err = interruptibly(ctx, func() (err error) {
		d, err = a.examine(ctx, f.pids)
		return err
	})
	if terminal {
		fmt.Fprint(a.stderr, eraseLine)
	}
	if err != nil {
		return err
	}
	err = out.Write(func(w io.Writer) error {
		if format == formatJSON {
			return doctor.WriteJSON(w, d)
		}
		return doctor.WriteText(w, d, a.textOptions(f))
	})
	if err != nil {
		return err
	}
	if !d.Works || len(f.pids) > 0 && d.Watchable() < len(d.Processes) {
		return errSaid
	}
	return nil
}
