// SPDX-License-Identifier: Apache-2.0

// Command bench measures what loopwatch costs and prints the figures: the programs in the
// kernel, other processes' syscalls, a loaded server's CPU time, and loopwatch's own CPU time,
// memory and start. Every figure that compares is taken in closely interleaved runs with and
// without loopwatch, because hosts drift. It asserts nothing; docs/costs.md says how to read it.
//
//	sudo go run ./test/bench [-quick] [-python python3] [-only programs,switch,…]
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// bench is one run of the benchmarks.
type bench struct {
	out    io.Writer
	python string
	effort effort

	patience time.Duration // left for waiting until nobody else's BPF programs are loaded
	watching *task         // the loopwatch that is running, or nil
}

// effort says how much is measured. What is written here decides how long a run takes.
type effort struct {
	window   time.Duration // one stretch of a comparison
	rounds   int           // rounds of the small comparisons
	pairs    int           // of a server with and without loopwatch
	settle   time.Duration // after loopwatch is ready
	watch    time.Duration // how long loopwatch's own cost is measured
	loops    []int         // with so many loops
	turns    int           // iterations a second of all of them
	starts   int
	starters int // Python processes there are at a start
}

var (
	full = effort{
		window: 500 * time.Millisecond, rounds: 16, pairs: 40, settle: 300 * time.Millisecond,
		watch: 12 * time.Second, loops: []int{1, 50, 200}, turns: 20_000, starts: 7, starters: 200,
	}
	quick = effort{
		window: 200 * time.Millisecond, rounds: 2, pairs: 2, settle: 50 * time.Millisecond,
		watch: 500 * time.Millisecond, loops: []int{1, 5}, turns: 1000, starts: 2, starters: 5,
	}
)

// benchmarks in the order they are run.
var benchmarks = []struct {
	name string
	run  func(*bench) error
}{
	{"programs", (*bench).programs},
	{"switch", (*bench).taskSwitch},
	{"syscalls", (*bench).syscalls},
	{"requests", (*bench).requests},
	{"usdt", (*bench).usdt},
	{"footprint", (*bench).footprint},
	{"start", (*bench).start},
}

func main() {
	if name, ok := strings.CutPrefix(os.Args[0], rolePrefix); ok {
		playRole(name, os.Args[1:])
	}
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	var names []string
	for _, b := range benchmarks {
		names = append(names, b.name)
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	isQuick := flags.Bool("quick", false, "measure next to nothing, in seconds: shows that the benchmarks run")
	python := flags.String("python", "python3", "interpreter of the watched programs")
	patience := flags.Duration("patience", 10*time.Second, "wait so long, in all, for BPF programs of others to go")
	only := flags.String("only", strings.Join(names, ","), "benchmarks to run")
	if err := flags.Parse(args); err != nil {
		return err
	}
	b := &bench{out: out, python: *python, effort: full, patience: *patience}
	if *isQuick {
		b.effort = quick
	}
	chosen := strings.Split(*only, ",")
	for _, name := range chosen {
		if !slices.Contains(names, name) {
			return fmt.Errorf("no benchmark %q; there are %s", name, strings.Join(names, ", "))
		}
	}
	if os.Geteuid() != 0 {
		return errors.New("loopwatch needs root: sudo make bench")
	}
	// The children end with their pipes to us, so dying at once is clean.
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGINT, unix.SIGTERM)
	defer signal.Stop(stop)
	go func() { <-stop; os.Exit(1) }()

	if err := b.introduce(); err != nil {
		return err
	}
	for _, it := range benchmarks {
		if !slices.Contains(chosen, it.name) {
			continue
		}
		if err := it.run(b); err != nil {
			return fmt.Errorf("%s: %w", it.name, err)
		}
	}
	return nil
}

// introduce says what all figures were measured on.
func (b *bench) introduce() error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return fmt.Errorf("uname: %w", err)
	}
	version, err := b.pythonVersion()
	if err != nil {
		return err
	}
	cpus, err := allowedCPUs()
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "Linux %s, %s, %d CPUs, Python %s, %s\n", unix.ByteSliceToString(u.Release[:]),
		unix.ByteSliceToString(u.Machine[:]), len(cpus), version, time.Now().Format(time.DateOnly))
	if b.effort.pairs < full.pairs {
		fmt.Fprintln(b.out, "A quick run: the figures mean nothing.")
	}
	return nil
}
