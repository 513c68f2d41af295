// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strconv"
)

// usdt prints what the interpreter's own probes cost who hits them: a loop's thread, and one that
// is none and pays for the trap alone.
func (b *bench) usdt() error {
	measured, others, err := places()
	if err != nil {
		return err
	}
	b.title("The interpreter's own probes (USDT), beside loopwatch without them")
	var rows [][]string
	var under string
	for _, it := range []struct {
		operation, kind, name string
		hits                  float64 // an operation; 0: many, not counted
	}{
		{"gc", "gc", "gc.collect(0) of nothing", 2},
		{"import", "import", "import of an empty module", 2},
		{"audit", "audit", "sys.audit", 1},
		{"allocate", "gc", "json.loads of 8,000 containers", 0},
	} {
		for _, where := range []string{"loop", "thread"} {
			t, err := b.startPython(measured, "hits.py", it.operation, where, strconv.FormatFloat(b.effort.window.Seconds(), 'f', -1, 64))
			if err != nil {
				return err
			}
			pid := strconv.Itoa(t.pid())
			c, err := b.compare([]variant{
				b.watch("without", others, "-usdt", "none", pid),
				b.watch("with", others, "-usdt", it.kind, pid),
			}, max(b.effort.rounds/2, 2), func() (ns float64, err error) {
				err = t.ask(&ns)
				return ns, err
			})
			t.stop()
			if err != nil {
				return fmt.Errorf("%s in a %s: %w", it.operation, where, err)
			}
			hit := "-"
			if it.hits > 0 {
				hit = fmt.Sprintf("%.0f", median(c.against(1, difference))/it.hits)
			}
			row := []string{it.name, where, fmt.Sprintf("%.0f", median(c.values(0))), fmt.Sprintf("%.0f", median(c.values(1))), hit}
			rows = append(rows, append(row, spread("%.3f", c.against(1, ratio))...))
			under = c.conditions()
		}
	}
	titles := []string{"operation", "in a", "ns without", "ns with", "ns a hit"}
	if err := b.table(append(titles, spreadTitles("ratio")...), rows); err != nil {
		return err
	}
	b.note("CPU time of the thread, the median batch of each stretch. %s", under)
	return nil
}
