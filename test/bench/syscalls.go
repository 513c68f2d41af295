// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/loopwatch/loopwatch/internal/probes"
)

// syscalls prints what a syscall costs a process that has nothing to do with Python, under each
// way to hook the waits.
func (b *bench) syscalls() (err error) {
	measured, others, err := places()
	if err != nil {
		return err
	}
	t, err := startRole(measured, "syscalls", (b.effort.window / 4).String())
	if err != nil {
		return err
	}
	defer t.stop()
	variants := []variant{{name: "without loopwatch"}}
	var refused []string
	for _, mode := range []string{probes.AttachFentry, probes.AttachTracepoint} {
		args := []string{"-attach", mode}
		w, err := b.startWatch(others, args...)
		if err == nil {
			err = w.stop()
		}
		if err != nil {
			refused = append(refused, err.Error())
			continue
		}
		variants = append(variants, b.watch("attached by "+mode, others, args...))
	}
	c, err := b.compare(variants, b.effort.rounds, func() (ns float64, err error) {
		err = t.ask(&ns)
		return ns, err
	})
	if err != nil {
		return err
	}
	b.title("A syscall of an unrelated process: getppid in a loop")
	var rows [][]string
	for i, v := range variants {
		row := append([]string{v.name}, spread("%.1f", c.values(i))...)
		more := []string{"", ""}
		if i > 0 {
			more = spread("%+.1f", c.against(i, difference))[:2]
		}
		rows = append(rows, append(row, more...))
	}
	titles := append([]string{""}, spreadTitles("ns/call")...)
	if err := b.table(append(titles, "over without", "quartiles"), rows); err != nil {
		return err
	}
	b.note("%s", c.conditions())
	for _, why := range refused {
		b.note("Not measured here: %s", why)
	}
	return nil
}
