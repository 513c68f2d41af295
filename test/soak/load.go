// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/test/judge"
)

//go:embed programs/soak.py
var program string

// load is what is hard on loopwatch.
type load struct {
	options options
	dir     string
	script  string
	counts  counts
	hard    []hardship

	subject   *subject
	regular   *child // blocks every second and says when
	stoppable *child

	mu       sync.Mutex
	spans    [][2]int64 // blocks of regular, by its own clock
	garbled  error
	leftOut  []string // what this machine does not allow
	copied   int      // interpreters
	closings []func() error
}

func newLoad(o options, dir string) (*load, error) {
	l := &load{options: o, dir: dir, script: filepath.Join(dir, "soak.py")}
	if err := os.WriteFile(l.script, []byte(program), 0o644); err != nil {
		return nil, err
	}
	return l, nil
}

// python makes a command of one of the programs.
func (l *load) python(args ...string) *exec.Cmd {
	return exec.Command(l.options.python, append([]string{"-s", "-S", l.script}, args...)...)
}

// startResidents starts what is there all the time.
func (l *load) startResidents(s *subject) (err error) {
	l.subject = s
	if l.regular, err = startChild(l.python("regularly", "1", "0.15"), l.noteBlock); err != nil {
		return err
	}
	s.keepBlocks(l.regular.pid())
	if l.stoppable, err = startReady(l.python("rest"), nothing); err != nil {
		return err
	}
	l.hard, err = l.hardships()
	return err
}

// close ends all that is there.
func (l *load) close() error {
	var errs []error
	l.regular.kill()
	if l.stoppable != nil {
		l.stoppable.kill()
	}
	for _, f := range slices.Backward(l.closings) {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

func (l *load) noteBlock(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var span [2]int64
	if err := json.Unmarshal([]byte(line), &span); err != nil {
		l.garbled = fmt.Errorf("a program says %q: %w", line, err)
		return
	}
	l.spans = append(l.spans, span)
}

// blocks are those that regular has said.
func (l *load) blocks() [][2]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.spans)
}

// missed returns the blocks of regular, which has ended, that loopwatch has not told.
func (l *load) missed(s *subject) (out [][2]int64) {
	told := s.of(l.regular.pid())
	for _, span := range l.blocks() {
		if find(told, span) == nil {
			out = append(out, span)
		}
	}
	return out
}

// find returns the block that covers at least half of a span.
func find(blocks []model.Block, span [2]int64) *model.Block {
	i := slices.IndexFunc(blocks, func(b model.Block) bool {
		return 2*judge.Overlap(b.StartNS, b.StartNS+b.DurationNS, span[0], span[1]) >= span[1]-span[0]
	})
	if i < 0 {
		return nil
	}
	return &blocks[i]
}

// run is the load until ctx is done: it returns when all that was started has ended.
func (l *load) run(ctx context.Context) error {
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		failed []error
	)
	fail := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		failed = append(failed, err)
	}
	for _, h := range l.hard {
		wg.Go(func() { h.run(ctx, &l.counts, fail) })
	}
	for what, rate := range map[string]string{"fork": "20", "threads": "5"} {
		c, err := startChild(l.python(what, rate), l.counts.add)
		if err != nil {
			fail(err)
			continue
		}
		wg.Go(func() {
			<-ctx.Done()
			if err := c.end(); err != nil {
				fail(err)
			}
		})
	}
	<-ctx.Done()
	wg.Wait()
	return errors.Join(failed...)
}

// hardship is something that is done again and again.
type hardship struct {
	what   string
	every  time.Duration
	atOnce int                         // it may go on so many times at once; a slow machine does it more rarely
	do     func(context.Context) error // it returns soon once the context is done
}

func (h hardship) run(ctx context.Context, c *counts, fail func(error)) {
	tick := time.NewTicker(h.every)
	defer tick.Stop()
	room := make(chan struct{}, h.atOnce)
	var going sync.WaitGroup
	defer going.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		select {
		case room <- struct{}{}:
		default:
			continue
		}
		going.Go(func() {
			defer func() { <-room }()
			if err := h.do(ctx); err != nil {
				fail(fmt.Errorf("%s: %w", h.what, err))
				return
			}
			c.add(h.what)
		})
	}
}

// plant has a new program block once, and returns what is wrong with what loopwatch says of it: "" nothing.
func (l *load) plant(ctx context.Context, s *subject) (wrong string, err error) {
	if err := l.regular.end(); err != nil {
		return "", err
	}
	if l.garbled != nil {
		return "", l.garbled
	}
	said := make(chan [2]int64, 1)
	c, err := startReady(l.python("plant"), func(line string) {
		var span [2]int64
		if json.Unmarshal([]byte(line), &span) == nil {
			said <- span
		}
	})
	if err != nil {
		return "", err
	}
	defer c.kill()
	s.keepBlocks(c.pid())
	fmt.Fprintln(c.stdin)
	var span [2]int64
	select {
	case span = <-said:
	case <-ctx.Done():
		return "", ctx.Err()
	case <-time.After(patience):
		return "", errNotReady
	}
	// It is told within a moment; how long that may take on a slow machine is not judged.
	for end := time.Now().Add(time.Minute); time.Now().Before(end) && ctx.Err() == nil && find(s.of(c.pid()), span) == nil; {
		time.Sleep(100 * time.Millisecond)
	}
	b := find(s.of(c.pid()), span)
	switch {
	case b == nil:
		return "it is not told", ctx.Err()
	case b.Culprit == nil || b.Culprit.Function != "planted":
		return fmt.Sprintf("it is told with the culprit %+v", b.Culprit), nil
	case b.Cause != model.CauseSleep:
		return fmt.Sprintf("it is told as %s", b.Cause), nil
	}
	return "", nil
}
