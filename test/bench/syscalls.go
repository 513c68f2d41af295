// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/loopwatch/loopwatch/internal/probes"
)

// syscalls prints what syscalls cost a process that has nothing to do with Python, under each
// way to hook the waits: one that does next to nothing, and a wait.
func (b *bench) syscalls() error {
	_, others, err := places()
	if err != nil {
		return err
	}
	variants := []variant{{name: "without loopwatch"}}
	var refused []error
	for _, mode := range []string{probes.AttachFentry, probes.AttachTracepoint} {
		args := []string{"-attach", mode}
		w, err := b.startWatch(others, args...)
		if err == nil {
			err = w.stop()
		}
		if err != nil {
			refused = append(refused, err)
			continue
		}
		variants = append(variants, b.watch("attached by "+mode, others, args...))
	}
	for _, name := range []string{getppid, epollPwait} {
		if err := b.syscall(name, variants); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, why := range refused {
		b.note("Not measured here: %s", why)
	}
	return nil
}

func (b *bench) syscall(name string, variants []variant) error {
	measured, _, err := places()
	if err != nil {
		return err
	}
	t, err := startRole(measured, "syscalls", name, (b.effort.window / 4).String())
	if err != nil {
		return err
	}
	defer t.stop()
	c, err := b.compare(variants, b.effort.rounds, func() (ns float64, err error) {
		err = t.ask(&ns)
		return ns, err
	})
	if err != nil {
		return err
	}
	b.title("A syscall of an unrelated process: %s in a loop", name)
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
	return nil
}
