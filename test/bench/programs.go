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
	if err := empty.hookTasks(); err != nil {
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
		for _, hook := range taskHooks {
			if name == hook.empty {
				name = "an empty one on " + hook.at
			}
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

// taskHooks are where loopwatch sees all tasks of the host, its program there, and what the empty
// one beside it is called.
var taskHooks = []struct{ at, program, empty string }{
	{"sched_switch", "on_switch", "empty_switch"},
	{"sched_waking", "on_waking", "empty_waking"},
}

// taskSwitch prints what the programs on sched_switch and sched_waking cost tasks that are no
// loops, beside empty programs on the same hooks at the same time.
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
	empty, ours, over := make([][]float64, len(taskHooks)), make([][]float64, len(taskHooks)), make([][]float64, len(taskHooks))
	runs := make([]uint64, len(taskHooks))
	for phase := range 2 {
		err := b.besideEmpty(others, phase == 0, func(n int, e, o cost) {
			empty[n], ours[n] = append(empty[n], e.perRun()), append(ours[n], o.perRun())
			over[n] = append(over[n], o.perRun()-e.perRun())
			runs[n] += o.runs
		})
		if err != nil {
			return err
		}
	}
	b.title("Tasks that are no loops: two threads passing a byte through pipes")
	for n, hook := range taskHooks {
		err = b.table(append([]string{"program on " + hook.at}, spreadTitles("ns/run")...), [][]string{
			append([]string{"empty"}, spread("%.0f", empty[n])...),
			append([]string{"loopwatch's"}, spread("%.0f", ours[n])...),
			append([]string{"loopwatch's over empty"}, spread("%.0f", over[n])...),
		})
		if err != nil {
			return err
		}
		b.note("%d rounds, %s runs, both attached at once; in half of the rounds the empty one stands first.",
			len(over[n]), count(float64(runs[n])))
	}
	return nil
}

// besideEmpty runs rounds with loopwatch and empty programs on the hooks, attached in one order
// or the other, and hands over what both used in each, by number of the hook.
func (b *bench) besideEmpty(cpu int, emptyFirst bool, round func(hook int, empty, ours cost)) (err error) {
	var empty emptyHooks
	defer func() { err = errors.Join(err, empty.close()) }()
	if emptyFirst {
		if err := empty.hookTasks(); err != nil {
			return err
		}
	}
	w, err := b.startWatch(cpu)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	if !emptyFirst {
		if err := empty.hookTasks(); err != nil {
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
		for n, hook := range taskHooks {
			empty, ours := by[hook.empty], by[hook.program]
			if empty.runs == 0 || ours.runs == 0 {
				return fmt.Errorf("a program did not run: %s %d times, %s %d times", hook.empty, empty.runs, hook.program, ours.runs)
			}
			round(n, empty, ours)
		}
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
