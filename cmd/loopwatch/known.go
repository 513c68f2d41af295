// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/loopwatch/loopwatch/internal/compare"
	"github.com/loopwatch/loopwatch/internal/known"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/output"
	"github.com/loopwatch/loopwatch/internal/report"
	"github.com/loopwatch/loopwatch/internal/report/json"
	"github.com/loopwatch/loopwatch/internal/report/words"
	"github.com/loopwatch/loopwatch/internal/saved"
)

// The flags that say which blockers are known.
const ignoreFlag, baselineFlag, writeBaselineFlag = "ignore", "baseline", "write-baseline"

// knownFlags say which blockers are known, and let through.
type knownFlags struct{ ignore, baseline, writeBaseline string }

func (f *knownFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.ignore, ignoreFlag, "", "let through the blockers that a rule of this `file` matches: cause=import function=settings.* file=*/config.py  # why")
	c.Flags().StringVar(&f.baseline, baselineFlag, "", "let through the blockers of the JSON report in this `file`, unless they are worse now")
	c.Flags().StringVar(&f.writeBaseline, writeBaselineFlag, "", "also write the report to this `file`, as a baseline for later")
}

// knownBlockers is what the flags name, read and opened before anything is observed.
type knownBlockers struct {
	asked    bool
	rules    []known.Rule
	baseline *model.Report
	out      *output.Output // for a new baseline, nil without one
}

// open reads and opens what the flags name, for an observation with a threshold, or for a report that is there already: 0. Close ends
// it.
func (f *knownFlags) open(ctx context.Context, a *app, c *cobra.Command, threshold durationValue) (k *knownBlockers, err error) {
	k = &knownBlockers{asked: f.ignore != "" || f.baseline != ""}
	for _, flag := range []string{ignoreFlag, baselineFlag, writeBaselineFlag} {
		if c.Flags().Changed(flag) && c.Flags().Lookup(flag).Value.String() == "" {
			return nil, usage(c, "--%s needs the name of a file", flag)
		}
	}
	if f.writeBaseline == output.Stdout {
		return nil, usage(c, "--%s needs the name of a file: a baseline on stdout is --format json", writeBaselineFlag)
	}
	if f.ignore != "" {
		if k.rules, err = saved.Rules(f.ignore); err != nil {
			return nil, fmt.Errorf("--%s: %w", ignoreFlag, err)
		}
	}
	if f.baseline != "" {
		if k.baseline, err = a.readReport(a.newProgress(0), f.baseline); err != nil {
			return nil, fmt.Errorf("--%s: %w", baselineFlag, err)
		}
		if threshold != 0 && k.baseline.ThresholdNS != int64(threshold) {
			return nil, usage(c, "the baseline has another threshold: add --threshold %s, or write a new one with --%s", compare.Threshold(k.baseline), writeBaselineFlag)
		}
	}
	if f.writeBaseline != "" {
		if k.out, err = output.Open(ctx, "--"+writeBaselineFlag, f.writeBaseline, nil); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// close gives up a baseline that was not written.
func (k *knownBlockers) close() {
	if k.out != nil {
		k.out.Abandon()
	}
}

// mark writes the new baseline, and marks in a report what is let through. Rules that matched nothing are named on line where the
// format does not name them.
func (k *knownBlockers) mark(line *progress, rep *model.Report, format string) error {
	if k.out != nil {
		if err := k.out.Write(func(w io.Writer) error { return json.Write(w, rep) }); err != nil {
			return err
		}
	}
	if !k.asked {
		return nil
	}
	if err := known.Mark(rep, k.rules, k.baseline); err != nil {
		return err
	}
	if f, _ := report.Named(format); f.Silent {
		for _, said := range words.LetThrough(rep) {
			line.warn(said)
		}
	}
	return nil
}
