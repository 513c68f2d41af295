// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// fleet is a number of Python processes with an event loop each.
type fleet []*task

// startFleet starts processes whose loops turn so many times a second in total.
func (b *bench) startFleet(processes, turns int) (_ fleet, err error) {
	var f fleet
	defer func() {
		if err != nil {
			f.stop()
		}
	}()
	for range processes {
		t, err := b.spawnPython(anyCPU, "ticker.py", fmt.Sprint(float64(turns)/float64(processes)))
		if err != nil {
			return nil, err
		}
		f = append(f, t)
	}
	for _, t := range f {
		if err := t.await(); err != nil {
			return nil, fmt.Errorf("start ticker.py: %w", err)
		}
	}
	return f, nil
}

func (f fleet) pids() []string {
	var out []string
	for _, t := range f {
		out = append(out, fmt.Sprint(t.pid()))
	}
	return out
}

func (f fleet) stop() {
	for _, t := range f {
		_ = t.stdin.Close() // all at once, then one after the other
	}
	for _, t := range f {
		t.stop()
	}
}

// footprint prints what loopwatch itself uses with more and more loops.
func (b *bench) footprint() error {
	var rows [][]string
	var notes []string
	for _, loops := range b.effort.loops {
		row, lost, err := b.footprintOf(loops)
		if err != nil {
			return err
		}
		rows = append(rows, row)
		if said := reasons(lost); said != "" {
			notes = append(notes, fmt.Sprintf("With %d loops, given up: %s.", loops, said))
		}
	}
	b.title("loopwatch itself, watching processes with one loop each")
	err := b.table([]string{"loops", "iterations/s", "of one CPU", "resident MiB", "at most", "maps MiB"}, rows)
	if err != nil {
		return err
	}
	b.note("Over %s after its start. Maps are kernel memory, not part of the resident.", b.effort.watch)
	for _, note := range notes {
		b.note("%s", note)
	}
	return nil
}

func (b *bench) footprintOf(loops int) (row []string, lost map[string]int64, err error) {
	f, err := b.startFleet(loops, b.effort.turns)
	if err != nil {
		return nil, nil, err
	}
	defer f.stop()
	w, err := b.startWatch(anyCPU, f.pids()...) // else the rest of the host would be measured, too
	if err != nil {
		return nil, nil, err
	}
	time.Sleep(b.effort.settle)
	pid := w.task.pid()
	began, used, err := now(pid)
	if err != nil {
		return nil, nil, err
	}
	time.Sleep(b.effort.watch)
	ended, usedThen, err := now(pid)
	if err != nil {
		return nil, nil, err
	}
	resident, peak, err := residentBytes(pid)
	if err != nil {
		return nil, nil, err
	}
	kernel, err := mapBytesOf(pid)
	if err != nil {
		return nil, nil, err
	}
	if err := w.stop(); err != nil {
		return nil, nil, err
	}
	return []string{
		fmt.Sprint(w.saw.Loops), count(float64(w.saw.Iterations) / (float64(w.saw.NS) / 1e9)),
		fmt.Sprintf("%.2f %%", 100*float64(usedThen-used)/float64(ended.Sub(began))),
		mebibytes(resident), mebibytes(peak), mebibytes(kernel),
	}, w.saw.Lost, nil
}

// now returns the time and the CPU time a process has used.
func now(pid int) (time.Time, int64, error) {
	used, err := cpuTime(pid)
	return time.Now(), used, err
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f", float64(n)/(1<<20)) }

// start prints how long loopwatch takes from its start until it watches all loops there are.
func (b *bench) start() error {
	f, err := b.startFleet(b.effort.starters, b.effort.starters*10)
	if err != nil {
		return err
	}
	defer f.stop()
	var wall, cpu []float64
	loops := 0
	for range b.effort.starts {
		began := time.Now()
		w, err := b.startWatch(anyCPU)
		if err != nil {
			return err
		}
		wall = append(wall, time.Since(began).Seconds()*1000)
		used, err := cpuTime(w.task.pid())
		if err != nil {
			return err
		}
		cpu = append(cpu, float64(used)/1e6)
		loops = w.loops
		if err := w.stop(); err != nil {
			return err
		}
	}
	b.title("From start to watching, %d Python processes", b.effort.starters)
	err = b.table(append([]string{""}, spreadTitles("ms")...), [][]string{
		append([]string{"time"}, spread("%.0f", wall)...),
		append([]string{"CPU time"}, spread("%.0f", cpu)...),
	})
	if err != nil {
		return err
	}
	b.note("%d starts, %d loops known at the end of the last.", len(wall), loops)
	return nil
}

// reasons lists what was given up, if anything.
func reasons(lost map[string]int64) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(lost)) {
		if n := lost[name]; n > 0 {
			out = append(out, fmt.Sprintf("%s %d", name, n))
		}
	}
	return strings.Join(out, ", ")
}
