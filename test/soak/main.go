// SPDX-License-Identifier: Apache-2.0

// Command soak runs loopwatch for a long time beside everything that is hard on it, and judges whether it keeps anything of
// what has ended. It prints figures every ten seconds, all from outside but for the numbers of goroutines and of what was lost,
// which loopwatch logs. Nothing is judged by how fast the machine is. docs/reliability.md says how to read it.
//
//	sudo go run ./test/soak [-for 30m] [-loopwatch FILE] [-python /usr/bin/python3] [-only] [-cpus=false]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// options are those of the command line.
type options struct {
	length  time.Duration // of the load that is judged
	warming time.Duration // of the load before
	quiet   time.Duration // after the load, before it is looked at what is left
	binary  string        // loopwatch
	python  string
	home    string // where its library is
	only    bool   // watch the processes of the soak alone
	cpus    bool   // take a CPU offline now and then
}

const sampleEvery = 10 * time.Second

func main() {
	ends := []os.Signal{unix.SIGINT, unix.SIGTERM}
	if !signal.Ignored(unix.SIGHUP) { // as under nohup
		ends = append(ends, unix.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	o := options{}
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.DurationVar(&o.length, "for", 30*time.Minute, "how long the load that is judged goes on")
	flags.DurationVar(&o.warming, "warming", 5*time.Minute, "how long it goes on before, until loopwatch has seen all that takes memory for a moment some times")
	flags.DurationVar(&o.quiet, "quiet", 30*time.Second, "how long nothing ends before it is looked at what is left: longer than loopwatch keeps anything")
	flags.StringVar(&o.binary, "loopwatch", "", "the loopwatch to run (default: built here)")
	flags.StringVar(&o.python, "python", "/usr/bin/python3", "interpreter of the programs")
	flags.BoolVar(&o.only, "only", false, "watch the soak's own processes alone: for a host on which others start Pythons")
	flags.BoolVar(&o.cpus, "cpus", true, "take a CPU offline now and then")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("loopwatch observes as root: sudo make soak")
	}
	dir, err := os.MkdirTemp("", "loopwatch-soak-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if o.binary == "" {
		o.binary = filepath.Join(dir, "loopwatch")
		if said, err := exec.CommandContext(ctx, "go", "build", "-o", o.binary, "./cmd/loopwatch").CombinedOutput(); err != nil {
			return fmt.Errorf("build loopwatch: %w\n%s", err, said)
		}
	}
	if o.python, o.home, err = interpreter(o.python); err != nil {
		return err
	}
	return soak(ctx, o, dir, out)
}

// interpreter asks a Python for the file that runs, and where its library is.
func interpreter(python string) (path, home string, err error) {
	said, err := exec.Command(python, "-c", "import os, sys; print(os.path.realpath(sys.executable)); print(sys.base_prefix)").Output()
	if err != nil {
		return "", "", fmt.Errorf("run %s: %w", python, err)
	}
	path, home, ok := strings.Cut(strings.TrimSuffix(string(said), "\n"), "\n")
	if !ok {
		return "", "", fmt.Errorf("%s says %q of itself", python, said)
	}
	return path, home, nil
}

// soak runs the phases: some load, a look, the load that is judged, another look, a planted block.
func soak(ctx context.Context, o options, dir string, out io.Writer) (err error) {
	l, err := newLoad(o, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	s, err := startSubject(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := l.startResidents(s); err != nil {
		return err
	}
	m := newMeter(s, out)
	defer m.close()

	if err := phase(ctx, m, "warming up", o.warming, l.run); err != nil {
		return err
	}
	before, err := look(ctx, m, "quiet", o.quiet)
	if err != nil {
		return err
	}
	since := len(m.samples)
	begun := l.counts.values()
	if err := phase(ctx, m, "load", o.length, l.run); err != nil {
		return err
	}
	loaded := m.samples[since:]
	done := l.counts.since(begun)
	after, err := look(ctx, m, "quiet", o.quiet)
	if err != nil {
		return err
	}
	found, err := l.plant(ctx, s)
	if err != nil {
		return err
	}
	missed := l.missed(s)
	lost, err := s.stop()
	if err != nil {
		return err
	}
	v := verdict{
		length: o.length, samples: loaded, before: before, after: after, done: done, planted: found,
		leftOut: l.leftOut, told: len(l.blocks()) - len(missed), missed: len(missed), lost: lost, reasons: s.figures(), printed: s.printed,
	}
	for _, h := range l.hard {
		if done[h.what] == 0 && h.every < o.length {
			v.never = append(v.never, h.what)
		}
	}
	return v.print(out)
}

// phase has something go on for so long, and takes a sample every ten seconds.
func phase(ctx context.Context, m *meter, name string, length time.Duration, goOn func(context.Context) error) error {
	going, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- goOn(going) }()
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return errors.Join(err, ctx.Err())
		case <-tick.C:
			if going.Err() != nil {
				continue // it is coming to an end: no load any more
			}
			if _, err := m.take(name); err != nil {
				return errors.Join(err, fmt.Errorf("while %s", name))
			}
		}
	}
}

// look waits until what has ended is to be forgotten, and takes a sample.
func look(ctx context.Context, m *meter, name string, quiet time.Duration) (sample, error) {
	idle := func(ctx context.Context) error { <-ctx.Done(); return nil }
	if err := phase(ctx, m, name, quiet, idle); err != nil {
		return sample{}, err
	}
	return m.take(name)
}
