// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/loopwatch/loopwatch/internal/probes"
)

// programs prints what each kernel program costs under a loaded server.
func (b *bench) programs() (err error) {
	measured, others, err := places()
	if err != nil {
		return err
	}
	const connections = 16
	s, err := b.startServer(measured, others, connections)
	if err != nil {
		return err
	}
	defer s.stop()
	var empty emptyHooks
	defer func() { err = errors.Join(err, empty.close()) }()
	if err := empty.hookSwitch(); err != nil {
		return err
	}
	w, err := b.startWatch(others)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	time.Sleep(b.effort.settle)
	window := 5 * b.effort.window
	used, err := b.costsOver(window)
	if err != nil {
		return err
	}
	b.title("Kernel programs under an asyncio server with %d connections, attached by %s", connections, w.attach)
	var rows [][]string
	for _, c := range used {
		if c.runs == 0 {
			continue
		}
		name := c.name
		if name == emptyName {
			name = "an empty one on sched_switch"
		}
		rows = append(rows, []string{name, count(float64(c.runs) / window.Seconds()), fmt.Sprintf("%.0f", c.perRun()),
			fmt.Sprintf("%.2f %%", 100*float64(c.ns)/float64(window))})
	}
	if err := b.table([]string{"program", "runs/s", "ns/run", "of one CPU"}, rows); err != nil {
		return err
	}
	b.note("The kernel's own statistics (bpf_stats); measuring is part of each figure, of the empty program nearly all.")
	return nil
}

// costsOver returns what the programs of this process and of the loopwatch it runs use in a
// stretch of time.
func (b *bench) costsOver(window time.Duration) (_ []cost, err error) {
	ids, err := programsOf(os.Getpid())
	if err != nil {
		return nil, err
	}
	watch, err := programsOf(b.watching.pid())
	if err != nil {
		return nil, err
	}
	ids = append(ids, watch...)
	stats, err := probes.EnableStats()
	if err != nil {
		return nil, fmt.Errorf("enable statistics: %w", err)
	}
	defer func() { err = errors.Join(err, stats.Close()) }()
	before, err := costs(ids)
	if err != nil {
		return nil, err
	}
	time.Sleep(window)
	after, err := costs(ids)
	if err != nil {
		return nil, err
	}
	return spent(before, after), nil
}

// taskSwitch prints what the sched_switch program costs tasks that are no loops, beside an
// empty program on the same hook at the same time.
func (b *bench) taskSwitch() (err error) {
	measured, others, err := places()
	if err != nil {
		return err
	}
	t, err := startRole(measured, "switch")
	if err != nil {
		return err
	}
	defer t.stop()
	var empty, ours, over []float64
	var switches uint64
	for phase := range 2 {
		err := b.besideEmpty(others, phase == 0, func(e, o cost) {
			empty, ours = append(empty, e.perRun()), append(ours, o.perRun())
			over = append(over, o.perRun()-e.perRun())
			switches += o.runs
		})
		if err != nil {
			return err
		}
	}
	b.title("A switch between tasks that are no loops: two threads passing a byte through pipes")
	err = b.table(append([]string{"program on sched_switch"}, spreadTitles("ns/run")...), [][]string{
		append([]string{"empty"}, spread("%.0f", empty)...),
		append([]string{"loopwatch's"}, spread("%.0f", ours)...),
		append([]string{"loopwatch's over empty"}, spread("%.0f", over)...),
	})
	if err != nil {
		return err
	}
	b.note("%d rounds, %s switches, both attached at once; in half of the rounds the empty one stands first.",
		len(over), count(float64(switches)))
	return nil
}

// switchProgram is loopwatch's program on sched_switch.
const switchProgram = "on_switch"

// besideEmpty runs rounds with loopwatch and an empty program on sched_switch, attached in one
// order or the other, and hands over what both used in each.
func (b *bench) besideEmpty(cpu int, emptyFirst bool, round func(empty, ours cost)) (err error) {
	var empty emptyHooks
	defer func() { err = errors.Join(err, empty.close()) }()
	if emptyFirst {
		if err := empty.hookSwitch(); err != nil {
			return err
		}
	}
	w, err := b.startWatch(cpu)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	if !emptyFirst {
		if err := empty.hookSwitch(); err != nil {
			return err
		}
	}
	time.Sleep(b.effort.settle)
	for range max(b.effort.rounds/2, 1) {
		used, err := b.costsOver(b.effort.window)
		if err != nil {
			return err
		}
		by := map[string]cost{}
		for _, c := range used {
			by[c.name] = c
		}
		if by[emptyName].runs == 0 || by[switchProgram].runs == 0 {
			return fmt.Errorf("a program did not run: empty %d times, %s %d times", by[emptyName].runs, switchProgram,
				by[switchProgram].runs)
		}
		round(by[emptyName], by[switchProgram])
	}
	return nil
}

// count writes a number with thousands set apart.
func count(n float64) string {
	digits := strconv.FormatFloat(n, 'f', 0, 64)
	var out strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 && digits[i-1] != '-' {
			out.WriteByte(',')
		}
		out.WriteRune(d)
	}
	return out.String()
}
