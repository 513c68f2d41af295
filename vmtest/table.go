// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Outcome is what came of one guest: a row of the matrix, attached in one way.
type Outcome struct {
	Row     Row
	Mode    string
	Release string // of the kernel
	Result  Result
	Err     error // the guest did not get to its end
	Took    time.Duration
	CPU     time.Duration // of the host's
}

// OK reports whether it is green: every test ran, and none failed or was skipped without leave.
func (o *Outcome) OK() bool {
	return o.Err == nil && o.Result.OK() && len(unexcused(o.Row, o.Mode, &o.Result)) == 0
}

// PrintTable writes a line for each guest, and below them why tests were skipped or what failed.
func PrintTable(w io.Writer, outcomes []Outcome) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KERNEL\tDEBIAN\tINTERPRETER\tATTACH\tRUN\tPASSED\tFAILED\tSKIPPED\tSECONDS\t")
	var notes strings.Builder
	for _, o := range outcomes {
		r := &o.Result
		skipped := 0
		for _, name := range slices.Sorted(maps.Keys(r.Skipped)) {
			if !strings.Contains(name, "/") {
				skipped++
			}
			fmt.Fprintf(&notes, "%s %s: %s skipped: %s\n", o.Row.Name, o.Mode, name, r.Skipped[name])
		}
		if why := o.failures(); len(why) > 0 {
			fmt.Fprintf(&notes, "%s %s: FAILED: %s\n", o.Row.Name, o.Mode, strings.Join(why, ", "))
		}
		kernel := o.Release
		if kernel == "" {
			kernel = o.Row.Name
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%.0f\t\n", kernel, o.Row.Root, strings.Join(o.Row.Interpreters, " "),
			o.Mode, r.Run(), len(r.Passed), len(r.Failed)+len(r.Missing), skipped, o.Took.Seconds())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, notes.String())
	return err
}

func (o *Outcome) failures() []string {
	var why []string
	if o.Err != nil {
		why = append(why, o.Err.Error())
	}
	why = append(why, o.Result.Failed...)
	if n := len(o.Result.Missing); n > 0 {
		why = append(why, fmt.Sprintf("%d did not run: %s", n, strings.Join(o.Result.Missing, " ")))
	}
	for _, name := range unexcused(o.Row, o.Mode, &o.Result) {
		why = append(why, name+" skipped without leave (skips.txt)")
	}
	if len(why) == 0 && !o.Result.OK() {
		why = append(why, fmt.Sprintf("the test binary ended with status %d", o.Result.Status))
	}
	return why
}
