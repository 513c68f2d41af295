// SPDX-License-Identifier: Apache-2.0

// Vmtest runs a command under the kernels of the matrix, or does one of the things that need
// a guest: see usage.
package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/loopwatch/loopwatch/vmtest"
	"github.com/loopwatch/loopwatch/vmtest/job"
)

const usage = `usage: vmtest [flags] list | test | run [--] COMMAND… | verify | bench

  list     the matrix
  test     the end-to-end tests, attached in each way; a table of what came of them
  run      boot, run COMMAND (a full path inside the guest), power off
  verify   load and attach every BPF program in both modes, and count what the verifier does
  bench    what loopwatch costs, in instructions (default: kernel 6.12 alone; half an hour)

flags:
`

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// options are the flags.
type options struct {
	arch    string
	kernels []string
	emulate bool
	files   map[string]string
	memory  int
	clock   vmtest.Clock
	silence time.Duration
	only    string
	modes   []string
	jobs    int
}

func run(args []string, stdout, stderr io.Writer) int {
	o := options{files: make(map[string]string)}
	flags := flag.NewFlagSet("vmtest", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	flags.Func("kernel", "a row of the matrix (repeatable; default: all)", func(s string) error {
		o.kernels = append(o.kernels, s)
		return nil
	})
	flags.StringVar(&o.arch, "arch", runtime.GOARCH, "architecture of the guests")
	flags.BoolVar(&o.emulate, "emulate", false, "emulate the CPUs even where KVM works")
	flags.Func("put", "`FILE[=NAME]` to bring along as /vmtest/NAME (repeatable)", func(s string) error {
		from, name, named := strings.Cut(s, "=")
		if !named {
			name = from[strings.LastIndex(from, "/")+1:]
		}
		o.files[name] = from
		return nil
	})
	flags.IntVar(&o.memory, "memory", 1536, "of the guest, in `MiB`")
	flags.DurationVar(&o.silence, "silence", 15*time.Minute, "a guest that says nothing for so long has failed")
	flags.StringVar(&o.only, "run", "", "test: only those that match this `REGEXP`")
	flags.Func("mode", "test: in this `MODE` only (repeatable): "+strings.Join(vmtest.Modes, ", "), func(s string) error {
		if !slices.Contains(vmtest.Modes, s) {
			return fmt.Errorf("known are %s", strings.Join(vmtest.Modes, ", "))
		}
		o.modes = append(o.modes, s)
		return nil
	})
	flags.IntVar(&o.jobs, "jobs", 2, "test, verify: guests side by side")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	command, rest := flags.Arg(0), flags.Args()
	if len(rest) > 0 {
		rest = rest[1:]
	}
	var err error
	status := 0
	switch command {
	case "list":
		err = list(stdout)
	case "run":
		if len(rest) > 0 && rest[0] == "--" {
			rest = rest[1:]
		}
		if len(rest) == 0 {
			flags.Usage()
			return 2
		}
		o.jobs = 1
		status, err = runEach(ctx, o, nil, rest, stdout, stderr)
	case "test":
		status, err = test(ctx, o, stdout, stderr)
	case "verify":
		status, err = verify(ctx, o, stdout, stderr)
	case "bench":
		status, err = bench(ctx, o, stdout, stderr)
	default:
		flags.Usage()
		return 2
	}
	if err != nil {
		fmt.Fprintln(stderr, "vmtest:", err)
		return 1
	}
	return status
}

func list(stdout io.Writer) error {
	rows, err := vmtest.Matrix()
	if err != nil {
		return err
	}
	for _, r := range rows {
		fmt.Fprintf(stdout, "%-6s %s %s from %s, root %s with %s\n", r.Name, r.Arch, r.Package, r.Suite, r.Root, strings.Join(r.Interpreters, " and "))
	}
	return nil
}

// runEach runs one command under each kernel and returns the first status that is not 0. A
// guest that fails does not keep the others from running. What is to be built for the guests, by name
// and package, is brought along.
func runEach(ctx context.Context, o options, built map[string]string, command []string, stdout, stderr io.Writer) (status int, err error) {
	rows, err := vmtest.Rows(o.arch, o.kernels...)
	if err != nil {
		return 0, err
	}
	stderr = &lockedWriter{to: stderr}
	lab, err := vmtest.OpenLab(ctx, o.arch, stderr)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, lab.Close()) }()
	for name, pkg := range built {
		o.files[name] = lab.Path(name)
		if err := lab.Build(ctx, pkg, o.files[name]); err != nil {
			return 0, err
		}
	}
	rows = vmtest.Kernels(rows)
	codes := make([]int, len(rows))
	var running sync.WaitGroup
	slots := make(chan struct{}, max(1, o.jobs))
	for i, row := range rows {
		slots <- struct{}{}
		if ctx.Err() != nil {
			return 1, context.Cause(ctx)
		}
		running.Go(func() {
			defer func() { <-slots }()
			out := stdout
			if o.jobs > 1 { // all that one guest says together
				var said bytes.Buffer
				out = &said
				defer func() { _, _ = stdout.Write(said.Bytes()) }()
			}
			code, err := runRow(ctx, lab, row, o, command, out, stderr)
			if err != nil {
				fmt.Fprintf(stderr, "==> %s: FAILED: %v\n", row.Name, err)
				code = 1
			}
			codes[i] = code
		})
	}
	running.Wait()
	for _, code := range codes {
		status = cmp.Or(status, code)
	}
	return status, nil
}

func runRow(ctx context.Context, lab *vmtest.Lab, row vmtest.Row, o options, command []string, stdout, stderr io.Writer) (int, error) {
	m, err := lab.Machine(ctx, row)
	if err != nil {
		return 0, err
	}
	m.Files, m.Command, m.Output = o.files, command, stdout
	m.MemoryMiB, m.Silence = o.memory, o.silence
	m.Clock = o.clock
	if o.clock != vmtest.SkippingClock && !o.emulate && lab.Native(ctx, m.Kernel) {
		m.Clock = vmtest.NativeClock
	}
	fmt.Fprintf(stderr, "==> %s: %s\n", row.Name, m.Kernel.Release)
	start := time.Now()
	status, err := m.Boot(ctx, row.Name, stderr)
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(stderr, "==> %s: %.0f s, status %d\n", row.Name, time.Since(start).Seconds(), status)
	return status, nil
}

// verify brings the probes' own check along.
func verify(ctx context.Context, o options, stdout, stderr io.Writer) (int, error) {
	// Two CPUs that are emulated side by side can hang while the kernel patches its own code.
	o.clock = vmtest.CountedClock
	target := map[string]string{"amd64": "x86", "arm64": "arm64"}[o.arch]
	objects := []string{"loopwatch_" + target + "_bpfel.o", "withoutloop_" + target + "_bpfel.o"}
	for _, name := range objects {
		var err error
		if o.files[name], err = vmtest.Source(ctx, "internal/probes/"+name); err != nil {
			return 0, err
		}
	}
	return runBuilt(ctx, o, "verify", objects, stdout, stderr)
}

// benchKernel has a BTF that fentry likes and an interpreter of the day.
const benchKernel = "6.12"

// bench measures in a guest whose clock counts instructions.
func bench(ctx context.Context, o options, stdout, stderr io.Writer) (int, error) {
	if len(o.kernels) == 0 {
		o.kernels = []string{benchKernel}
	}
	o.clock, o.jobs = vmtest.SkippingClock, 1
	o.silence = max(o.silence, time.Hour)
	const program = "server.py"
	var err error
	if o.files[program], err = vmtest.Source(ctx, "test/load/"+program); err != nil {
		return 0, err
	}
	return runBuilt(ctx, o, "cost", []string{program}, stdout, stderr)
}

// runBuilt builds one of the commands meant for guests and runs it under each kernel.
func runBuilt(ctx context.Context, o options, name string, args []string, stdout, stderr io.Writer) (status int, err error) {
	command := append([]string{path.Join(job.Payload, name)}, args...)
	return runEach(ctx, o, map[string]string{name: "./vmtest/cmd/" + name}, command, stdout, stderr)
}
