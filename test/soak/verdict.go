// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Bounds of the slope of the resident size, in MiB an hour.
const maxSlope = 1

// longEnough is how long a load has to go on for its slope to be judged as it is. Of a shorter one it is judged whether it can be
// told from one within bounds.
const longEnough = 30 * time.Minute

// verdict is what is judged.
type verdict struct {
	length        time.Duration
	samples       []sample // under load
	before, after sample   // in quiet
	done          map[string]int64
	leftOut       []string // what this machine does not allow
	never         []string // what was to be done and was not
	planted       string   // what loopwatch got wrong about the planted block, "" nothing
	told, missed  int      // blocks of the program that says when it blocks
	lost          int64    // events, as loopwatch says in the end
	reasons       map[string]int64
	printed       int64
}

var errFailed = errors.New("loopwatch has not passed")

// print writes what was done, what was seen, and last what is wrong with it.
func (v *verdict) print(out io.Writer) error {
	complaints := v.complaints()
	fmt.Fprintf(out, "\nDone in %v of load:\n", v.length)
	for _, what := range slices.Sorted(maps.Keys(v.done)) {
		fmt.Fprintf(out, "  %7d  %s, %.2f a second\n", v.done[what], what, float64(v.done[what])/v.length.Seconds())
	}
	for _, what := range v.leftOut {
		fmt.Fprintf(out, "  left out: %s\n", what)
	}
	fmt.Fprintf(out, "\nBlocks printed %d. Of the program that says when it blocks: told %d, missed %d. Lost %d events:\n", v.printed, v.told, v.missed, v.lost)
	for _, reason := range slices.Sorted(maps.Keys(v.reasons)) {
		if _, told := v.after.kept[reason]; told && !slices.Contains(keptNames, reason) {
			fmt.Fprintf(out, "  %7d  %s\n", v.reasons[reason], reason)
		}
	}
	fmt.Fprintln(out)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\tbefore\tafter\ta hour\t±\t")
	for _, f := range figures {
		perHour, deviation := v.slope(f)
		fmt.Fprintf(table, "%s\t%.1f\t%.1f\t%+.2f\t%.2f\t\n", f.name, f.of(v.before), f.of(v.after), perHour, 2*deviation)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(complaints) > 0 {
		fmt.Fprintf(out, "\nFailed: %s\n", strings.Join(complaints, "; "))
		return errFailed
	}
	fmt.Fprintln(out, "\nPassed.")
	return nil
}

// figure is one number of a sample.
type figure struct {
	name   string
	of     func(sample) float64
	judged bool // it has to be in the end what it was
}

// keptNames are what loopwatch logs that it keeps; the rest of that line is what was lost.
var keptNames = []string{"goroutines", "processes", "threads", "loops", "ended_loops", "unwatched", "probed_files"}

var figures = makeFigures()

func makeFigures() []figure {
	out := []figure{
		{"resident MiB", func(s sample) float64 { return mebibytes(s.resident) }, false},
		{"anonymous MiB", func(s sample) float64 { return mebibytes(s.anonymous) }, false},
		{"descriptors", func(s sample) float64 { return float64(s.descriptors) }, true},
		{"probes attached", func(s sample) float64 { return float64(s.probes) }, true},
		{"entries of the dead", func(s sample) float64 { return float64(s.dead) }, true},
	}
	for _, name := range mapsOfIDs {
		out = append(out, figure{"map " + name, func(s sample) float64 { return float64(s.entries[name]) }, true})
	}
	for _, name := range mapsOfThreads { // what lives may wait in one epoll instance more now: those of the dead are judged
		out = append(out, figure{"map " + name, func(s sample) float64 { return float64(s.entries[name]) }, false})
	}
	for _, name := range keptNames {
		out = append(out, figure{"kept " + name, func(s sample) float64 { return float64(s.kept[name]) }, true})
	}
	return out
}

// minute is how many samples make one.
const minute = int(time.Minute / sampleEvery)

// slope fits a line to the lowest of a figure in each minute of load: per hour, with its standard error. What is lost in an overflow
// of the ring buffer, and all that is told then, takes memory for some seconds: what stays shows in the lowest.
func (v *verdict) slope(f figure) (perHour, deviation float64) {
	var x, y []float64
	for samples := range slices.Chunk(v.samples, minute) {
		lowest := slices.MinFunc(samples, func(s, t sample) int { return cmp.Compare(f.of(s), f.of(t)) })
		x, y = append(x, lowest.at.Sub(v.samples[0].at).Hours()), append(y, f.of(lowest))
	}
	return slope(x, y)
}

// complaints are what loopwatch does not live up to.
func (v *verdict) complaints() (out []string) {
	for _, f := range figures {
		if f.judged && f.of(v.after) > f.of(v.before) {
			out = append(out, fmt.Sprintf("%s: %.0f, and %.0f before", f.name, f.of(v.after), f.of(v.before)))
		}
	}
	if v.after.dead > 0 {
		out = append(out, fmt.Sprintf("maps have %d entries of the dead", v.after.dead))
	}
	perHour, deviation := v.slope(figures[0])
	if v.length < longEnough {
		perHour -= 2 * deviation
	}
	if perHour >= maxSlope {
		out = append(out, fmt.Sprintf("the resident size grows by %.1f MiB an hour", perHour))
	}
	if v.told == 0 {
		out = append(out, "no block of the program that says when it blocks was told")
	}
	if int64(v.missed) > v.lost {
		out = append(out, fmt.Sprintf("%d blocks are missing and %d events were counted as lost", v.missed, v.lost))
	}
	if v.planted != "" {
		out = append(out, "the block planted at the end: "+v.planted)
	}
	if v.done[overflows] > 0 && v.reasons["records_lost_ring_full"]+v.reasons["stacks_lost_ring_full"] == 0 {
		out = append(out, "the ring buffer did not overflow: nothing was tried by it")
	}
	for _, what := range v.never {
		out = append(out, what+" never came about")
	}
	return out
}
