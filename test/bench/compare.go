// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cilium/ebpf"
)

// variant is one of the conditions a measurement is repeated under.
type variant struct {
	name string
	// enter brings the condition about and returns what ends it; nil for the host as it is.
	enter func() (leave func() error, err error)
}

// comparison holds measurements under all variants: rounds[i][j] was taken in round i under
// variant j, all of a round in quick succession.
type comparison struct {
	variants  []variant
	rounds    [][]float64
	disturbed int // rounds thrown away
	foreign   int // BPF programs of others while it was measured
}

// compare measures under every variant in turn: in odd rounds from the first to the last, in
// even ones back, so that a drift of the host falls on all alike. A round in which somebody
// else's BPF programs came or went is taken again; it would compare something else.
func (b *bench) compare(variants []variant, rounds int, measure func() (float64, error)) (_ *comparison, err error) {
	c := &comparison{variants: variants}
	current, leave := -1, func() error { return nil }
	defer func() { err = errors.Join(err, leave()) }()
	order := make([]int, len(variants))
	for i := range order {
		order[i] = i
	}
	for len(c.rounds) < rounds {
		if err := b.awaitSolitude(); err != nil {
			return nil, err
		}
		row := make([]float64, len(variants))
		var before, after []ebpf.ProgramID
		for n, i := range order {
			if i != current {
				if err := leave(); err != nil {
					return nil, err
				}
				current, leave = i, func() error { return nil }
				if enter := variants[i].enter; enter != nil {
					l, err := enter()
					if err != nil {
						return nil, fmt.Errorf("%s: %w", variants[i].name, err)
					}
					leave = l
				}
				time.Sleep(b.effort.settle)
			}
			if n == 0 {
				if before, err = b.foreignPrograms(); err != nil {
					return nil, err
				}
			}
			if row[i], err = measure(); err != nil {
				return nil, fmt.Errorf("%s: %w", variants[i].name, err)
			}
			if after, err = b.foreignPrograms(); err != nil {
				return nil, err
			}
			if !slices.Equal(before, after) {
				break
			}
		}
		// A host that never comes to rest is measured as it is.
		if !slices.Equal(before, after) && c.disturbed < 3*rounds {
			c.disturbed++
			continue
		}
		c.rounds, c.foreign = append(c.rounds, row), max(c.foreign, len(after))
		slices.Reverse(order)
	}
	return c, nil
}

// awaitSolitude waits for the BPF programs of others to go, as long as patience lasts: those of
// another loopwatch would be part of the baseline.
func (b *bench) awaitSolitude() error {
	const pause = 100 * time.Millisecond
	for {
		foreign, err := b.foreignPrograms()
		if err != nil || len(foreign) == 0 || b.patience <= 0 {
			return err
		}
		time.Sleep(pause)
		b.patience -= pause
	}
}

// values returns what was measured under one variant.
func (c *comparison) values(variant int) []float64 {
	var out []float64
	for _, row := range c.rounds {
		out = append(out, row[variant])
	}
	return out
}

// against returns what was measured under one variant, made into one number a round with what
// was measured under the first.
func (c *comparison) against(variant int, relate func(value, baseline float64) float64) []float64 {
	var out []float64
	for _, row := range c.rounds {
		out = append(out, relate(row[variant], row[0]))
	}
	return out
}

// conditions says what the rounds were taken under.
func (c *comparison) conditions() string {
	said := fmt.Sprintf("%d interleaved rounds.", len(c.rounds))
	if c.disturbed > 0 {
		said += fmt.Sprintf(" %d more were thrown away: other BPF programs came or went.", c.disturbed)
	}
	if c.foreign > 0 {
		said += fmt.Sprintf(" %d BPF programs of others were loaded all the time: what they cost, the baseline has, too.", c.foreign)
	}
	return said
}

func ratio(value, baseline float64) float64      { return value / baseline }
func difference(value, baseline float64) float64 { return value - baseline }

// watch returns the variant in which loopwatch observes the whole host.
func (b *bench) watch(name string, cpu int, args ...string) variant {
	return variant{name, func() (func() error, error) {
		w, err := b.startWatch(cpu, args...)
		if err != nil {
			return nil, err
		}
		return w.stop, nil
	}}
}

// watcher is loopwatch observing the host in a process of its own.
type watcher struct {
	bench  *bench
	task   *task
	attach string
	loops  int // known when it was ready

	saw sighting // once it is stopped
}

// startWatch starts loopwatch and waits until it watches all loops there are.
func (b *bench) startWatch(cpu int, args ...string) (*watcher, error) {
	t, err := startRole(cpu, "watch", args...)
	if err != nil {
		return nil, err
	}
	w := &watcher{bench: b, task: t}
	if _, err := fmt.Sscanf(t.first, "ready %s %d", &w.attach, &w.loops); err != nil {
		t.stop()
		return nil, fmt.Errorf("loopwatch said %q: %w", t.first, err)
	}
	b.watching = t
	return w, nil
}

func (w *watcher) stop() error {
	w.bench.watching = nil
	said := w.task.stop()
	if err := json.Unmarshal([]byte(said), &w.saw); err != nil {
		return fmt.Errorf("loopwatch ended with %q, %s: %w", said, w.task.stderr.String(), err)
	}
	return nil
}
