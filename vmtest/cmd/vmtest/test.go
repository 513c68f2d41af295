// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/loopwatch/loopwatch/vmtest"
)

// test runs the end-to-end tests under each kernel, attached in each way, in a guest of its own,
// and prints a table of what came of them. A guest that fails does not keep the others from
// running.
func test(ctx context.Context, o options, stdout, stderr io.Writer) (status int, err error) {
	stderr = &lockedWriter{to: stderr}
	rows, err := vmtest.Rows(o.arch, o.kernels...)
	if err != nil {
		return 0, err
	}
	lab, err := vmtest.OpenLab(ctx, o.arch, stderr)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, lab.Close()) }()
	suite, err := lab.BuildSuite(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, suite.Close()) }()

	start := time.Now()
	var outcomes []vmtest.Outcome
	for _, row := range rows {
		for _, mode := range row.Modes {
			if len(o.modes) == 0 || slices.Contains(o.modes, mode) {
				outcomes = append(outcomes, vmtest.Outcome{Row: row, Mode: mode})
			}
		}
	}
	if len(outcomes) == 0 {
		return 0, fmt.Errorf("no row chosen has a mode of %s; see matrix.txt", strings.Join(o.modes, ", "))
	}
	go func() { // ahead of the guests, that none waits for another's kernel
		for _, row := range rows {
			_, _ = lab.Machine(ctx, row) // whoever needs it hears of an error
		}
	}()
	var running sync.WaitGroup
	slots := make(chan struct{}, max(1, o.jobs))
	for i := range outcomes {
		slots <- struct{}{}
		if ctx.Err() != nil {
			outcomes[i].Err = errors.New("not begun")
			<-slots
			continue
		}
		running.Go(func() {
			defer func() { <-slots }()
			testGuest(ctx, lab, suite, &outcomes[i], o, stderr)
		})
	}
	running.Wait()
	for i := range outcomes {
		if !outcomes[i].OK() {
			status = 1
		}
	}
	fmt.Fprintf(stderr, "==> %d guests in %.0f s\n", len(outcomes), time.Since(start).Seconds())
	return status, vmtest.PrintTable(stdout, outcomes)
}

// testGuest fills in what came of one guest.
func testGuest(ctx context.Context, lab *vmtest.Lab, suite *vmtest.Suite, outcome *vmtest.Outcome, o options, stderr io.Writer) {
	start := time.Now()
	name := outcome.Row.Name + " " + outcome.Mode
	err := func() error {
		m, err := lab.Machine(ctx, outcome.Row)
		if err != nil {
			return err
		}
		outcome.Release = m.Kernel.Release
		m.Clock = vmtest.CountedClock
		if !o.emulate && lab.Native(ctx, m.Kernel) {
			m.Clock = vmtest.NativeClock
		}
		step, err := suite.Prepare(m, outcome.Row, outcome.Mode, o.only)
		if err != nil {
			return err
		}
		log, err := os.Create(lab.LogFile(outcome.Row, outcome.Mode))
		if err != nil {
			return err
		}
		defer log.Close()
		var output bytes.Buffer
		m.Output = io.MultiWriter(log, &output)
		m.MemoryMiB, m.Silence = o.memory, o.silence
		fmt.Fprintf(stderr, "==> %s: %s, log in %s\n", name, outcome.Release, log.Name())
		_, failed := m.Boot(ctx, name, stderr)
		outcome.CPU = m.CPU
		want := suite.Of(outcome.Row, outcome.Mode)
		if o.only != "" {
			want = nil
		}
		// What there is counts, though it was cut short.
		outcome.Result, err = vmtest.ReadResult(context.WithoutCancel(ctx), output.Bytes(), step, want)
		return errors.Join(failed, err)
	}()
	outcome.Took = time.Since(start)
	if outcome.Result.Complaints != "" {
		fmt.Fprintf(stderr, "==> %s: tests failed\n%s\n", name, outcome.Result.Complaints)
	}
	if err != nil {
		outcome.Err = err
		fmt.Fprintf(stderr, "==> %s: FAILED: %v\n", name, err)
		return
	}
	fmt.Fprintf(stderr, "==> %s: %.0f s, %.0f s by the guest's clock; %.0f s of CPU\n",
		name, outcome.Took.Seconds(), outcome.Result.Took.Seconds(), outcome.CPU.Seconds())
}

// lockedWriter keeps what guests say side by side from being mixed within a line.
type lockedWriter struct {
	mu sync.Mutex
	to io.Writer
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(p)
}
