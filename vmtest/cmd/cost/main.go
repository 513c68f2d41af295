// SPDX-License-Identifier: Apache-2.0

// Cost runs in a guest whose clock counts instructions, where fentry works: it prints what
// loopwatch costs a loaded asyncio server, an unrelated process's syscalls, and each run of
// a BPF program, in each attach mode. `vmtest bench` brings it there. One nanosecond of the
// guest is one instruction, so caches, predictors and other guests of the host play no part.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/observe"
	"github.com/loopwatch/loopwatch/internal/probes"
)

func main() {
	pairs := flag.Int("pairs", 21, "runs in each mode, interleaved")
	requests := flag.Int("requests", 96, "of one run")
	python := flag.String("python", "python3", "interpreter of the server")
	only := flag.Int("connections", 0, "between server and client; 0: one, then eight")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: cost [flags] SERVER.PY")
		os.Exit(2)
	}
	loads := []int{1, 8}
	if *only > 0 {
		loads = []int{*only}
	}
	for _, connections := range loads {
		m := measurement{pairs: *pairs, requests: *requests, connections: connections}
		if err := m.run(*python, flag.Arg(0)); err != nil {
			fmt.Fprintln(os.Stderr, "cost:", err)
			os.Exit(1)
		}
	}
}

// none is the mode that everything is compared with.
const none = "none"

var modes = []string{none, probes.AttachFentry, probes.AttachTracepoint}

// calls are made by the unrelated process in one run.
const calls = 20_000

// warmUp is how many requests go over each connection before anything is measured, settle how
// long the guest comes to rest before a run.
const (
	warmUp = 200
	settle = 50 * time.Millisecond
)

// measurement of a server under load over a number of connections.
type measurement struct {
	pairs, requests, connections int

	server     *server
	perRequest map[string][]float64 // mode -> instructions of each run
	perCall    map[string][]float64
	waits      map[string][]float64 // how often the server slept, a request
}

func (m *measurement) run(python, program string) (err error) {
	if m.server, err = startServer(python, program, m.connections, warmUp); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.server.close()) }()
	m.perRequest, m.perCall = make(map[string][]float64), make(map[string][]float64)
	m.waits = make(map[string][]float64)
	order := slices.Clone(modes)
	for range m.pairs {
		for _, mode := range order {
			if err := m.measure(mode); err != nil {
				return fmt.Errorf("%s: %w", mode, err)
			}
		}
		slices.Reverse(order)
	}
	m.print()
	for _, mode := range modes[1:] {
		if err := m.programs(mode); err != nil {
			return fmt.Errorf("%s: %w", mode, err)
		}
	}
	return nil
}

// measure makes one run.
func (m *measurement) measure(mode string) error {
	w, err := watch(mode, m.server.pid())
	if err != nil {
		return err
	}
	time.Sleep(settle)
	before, err := m.server.usage()
	if err != nil {
		return errors.Join(err, w.stop())
	}
	if err := m.server.request(m.requests); err != nil {
		return errors.Join(err, w.stop())
	}
	after, err := m.server.usage()
	if err != nil {
		return errors.Join(err, w.stop())
	}
	m.waits[mode] = append(m.waits[mode], float64(after.sleeps-before.sleeps)/float64(m.requests))
	m.perRequest[mode] = append(m.perRequest[mode], float64(after.cpu-before.cpu)/float64(m.requests))
	m.perCall[mode] = append(m.perCall[mode], getppid())
	return w.stop()
}

// print prints the table. Where the server sleeps more often in one mode than in another, the
// modes did different work: that part of a ratio is scheduling, not loopwatch.
func (m *measurement) print() {
	fmt.Printf("\nasyncio server, %d connections, %d pairs of %d requests, in instructions\n", m.connections, m.pairs, m.requests)
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "attach\ta request\tratio\tquartiles\trange\twaits a request\tunrelated getppid\tmore")
	for _, mode := range modes {
		ratios := make([]float64, m.pairs)
		more := make([]float64, m.pairs)
		for i := range m.pairs {
			ratios[i] = m.perRequest[mode][i] / m.perRequest[none][i]
			more[i] = m.perCall[mode][i] - m.perCall[none][i]
		}
		fmt.Fprintf(t, "%s\t%.0f\t%.4f\t%.4f-%.4f\t%.4f-%.4f\t%.2f\t%.0f\t%+.0f\n", mode, quantile(m.perRequest[mode], 0.5),
			quantile(ratios, 0.5), quantile(ratios, 0.25), quantile(ratios, 0.75), quantile(ratios, 0), quantile(ratios, 1),
			quantile(m.waits[mode], 0.5), quantile(m.perCall[mode], 0.5), quantile(more, 0.5))
	}
	_ = t.Flush()
}

// programs prints what one run of each program takes. Counting takes part in what it counts:
// an empty program shows some 60 instructions.
func (m *measurement) programs(mode string) error {
	stats, err := probes.EnableStats()
	if err != nil {
		return err
	}
	defer stats.Close()
	w, err := watch(mode, m.server.pid())
	if err != nil {
		return err
	}
	if err := m.server.request(m.requests); err != nil {
		return errors.Join(err, w.stop())
	}
	fmt.Println()
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "%s program\truns\tinstructions a run\t\n", mode)
	err = eachProgram(func(name string, runs uint64, runtime time.Duration) {
		fmt.Fprintf(t, "%s\t%d\t%.0f\t\n", name, runs, float64(runtime)/float64(runs))
	})
	return errors.Join(err, t.Flush(), w.stop())
}

// getppid returns the instructions of a syscall that does nothing, made by a thread that
// loopwatch has no interest in.
func getppid() float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	started := time.Now()
	for range calls {
		_, _, _ = unix.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
	}
	return float64(time.Since(started)) / calls
}

// watcher is loopwatch observing a process, or, for mode none, nothing.
type watcher struct {
	cancel     context.CancelFunc
	ended      chan error
	iterations int64 // known when it is stopped
}

// watch returns when the process is being watched.
func watch(mode string, pid int) (*watcher, error) {
	if mode == none {
		return &watcher{}, nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &watcher{cancel: cancel, ended: make(chan error, 1)}
	ready := make(chan observe.Status, 1)
	go func() {
		r, err := observe.Run(ctx, observe.Options{
			PIDs: []int{pid}, Attach: mode, Ready: func(s observe.Status) { ready <- s },
		})
		if err == nil {
			for _, l := range r.Loops {
				w.iterations += l.Iterations
			}
		}
		w.ended <- err
	}()
	select {
	case <-ready:
		return w, nil
	case err := <-w.ended:
		return nil, errors.Join(errors.New("loopwatch ended before it was ready"), err)
	}
}

func (w *watcher) stop() error {
	if w.cancel == nil {
		return nil
	}
	w.cancel()
	if err := <-w.ended; err != nil {
		return err
	}
	if w.iterations == 0 {
		return errors.New("loopwatch saw no iteration of the server")
	}
	return nil
}

// quantile returns the q-quantile, for q from 0 to 1, nearest rank.
func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}
