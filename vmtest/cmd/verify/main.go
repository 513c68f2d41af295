// SPDX-License-Identifier: Apache-2.0

// Verify runs in a guest: it loads every BPF program and prints what the verifier counted, lists threads, counts
// waits, and opens the probes in each mode as loopwatch does. Its status is 1 if the verifier refuses a program or has
// less than half of its limit left, if the thread listing or the counting fails, or if no way to attach is open or the
// tracepoints are not. That a kernel refuses fentry is shown, and is not an error.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/probes/listing"
	"github.com/loopwatch/loopwatch/internal/syscalls"
)

// limit is how many instructions the verifier processes at most (BPF_COMPLEXITY_LIMIT_INSNS,
// Linux 5.2 and later).
const limit = 1_000_000

// logLines is how much of a verifier's log is worth showing: its end says what went wrong.
const logLines = 40

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: verify OBJECT OBJECT-WITHOUT-BPF_LOOP")
		os.Exit(2)
	}
	ok, err := verify(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, "verify:", err)
	}
	if !ok || err != nil {
		os.Exit(1)
	}
}

func verify(object, withoutLoop string) (bool, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return false, err
	}
	fmt.Println("kernel", unix.ByteSliceToString(u.Release[:]))
	var before unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_MEMLOCK, nil, &before); err != nil {
		return false, err
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		return false, err
	}
	listed := true
	if err := listThreads(); err != nil {
		listed = false
		fmt.Printf("thread listing refused: %s\n", tail(err))
	}
	good, err := loadEach(object, withoutLoop)
	if err != nil {
		return false, err
	}
	good = good && listed
	// loopwatch is to find the limit of locked memory as it was.
	if err := unix.Prlimit(0, unix.RLIMIT_MEMLOCK, &before, nil); err != nil {
		return false, err
	}
	for _, mode := range []string{probes.AttachFentry, probes.AttachTracepoint, probes.AttachAuto} {
		if err := open(mode); err != nil {
			good = good && mode == probes.AttachFentry
			fmt.Printf("attach %-10s refused: %s\n", mode, tail(err))
		}
	}
	return good, nil
}

// listThreads loads the programs that dump uses and has them look at this very process.
func listThreads() error {
	start := time.Now()
	c, err := listing.Open()
	if err != nil {
		return err
	}
	defer c.Close()
	self := os.Getpid()
	if err := c.Want(self); err != nil {
		return err
	}
	threads, err := c.Threads()
	if err != nil {
		return err
	}
	if _, ok := threads[self]; !ok {
		return errors.New("it does not see this process")
	}
	if _, err := c.Sockets(map[int][]int{self: {0, 1, 2}}); err != nil {
		return err
	}
	if err := countReturns(c); err != nil {
		return err
	}
	fmt.Printf("listing of %d threads in %.2f s\n", len(threads), time.Since(start).Seconds())
	return nil
}

// countReturns has the kernel count this thread's waits, as dump does those of loops.
func countReturns(l *listing.Listing) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(epoll)
	r, err := l.CountReturns(unix.Gettid(), syscalls.Waiting())
	if err != nil {
		return err
	}
	defer r.Close()
	const times = 3
	for range times {
		if _, err := unix.EpollWait(epoll, make([]unix.EpollEvent, 1), 0); err != nil {
			return err
		}
	}
	switch n, err := r.Count(); {
	case err != nil:
		return err
	case n != times:
		return fmt.Errorf("%d returns from epoll_wait were counted as %d", times, n)
	}
	return nil
}

// loadEach loads the programs of the object that is for this kernel: together, as loopwatch does, first those
// for fentry and then those for tracepoints.
func loadEach(object, withoutLoop string) (bool, error) {
	good := true
	if err := features.HaveProgramHelper(ebpf.TracePoint, asm.FnLoop); errors.Is(err, ebpf.ErrNotSupported) {
		object = withoutLoop
	} else if err != nil {
		return false, err
	}
	spec, err := ebpf.LoadCollectionSpec(object)
	if err != nil {
		return false, err
	}
	counts := make(map[string]int)
	for _, fentry := range []bool{true, false} {
		start := time.Now()
		some, err := load(spec, func(p *ebpf.ProgramSpec) bool { return p.Type == ebpf.TracePoint && fentry || isTracing(p) && !fentry })
		if err != nil {
			good = good && fentry && !refusedByVerifier(err)
			fmt.Printf("programs with fentry %-5t refused: %s\n", fentry, tail(err))
			continue
		}
		fmt.Printf("programs with fentry %-5t loaded in %.2f s\n", fentry, time.Since(start).Seconds())
		maps.Copy(counts, some)
	}
	for _, name := range slices.SortedFunc(maps.Keys(counts), cmp.Compare[string]) {
		n := counts[name]
		good = good && n <= limit/2
		fmt.Printf("program %-22s %8d instructions verified, %4.1f %% of the limit\n", name, n, 100*float64(n)/limit)
	}
	return good, nil
}

var processed = regexp.MustCompile(`processed (\d+) insns`)

// load loads all programs but those left out, and returns how many instructions the verifier processed
// for each.
func load(spec *ebpf.CollectionSpec, without func(*ebpf.ProgramSpec) bool) (map[string]int, error) {
	spec = spec.Copy()
	maps.DeleteFunc(spec.Programs, func(_ string, p *ebpf.ProgramSpec) bool { return without(p) })
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
		Programs: ebpf.ProgramOptions{LogLevel: ebpf.LogLevelStats},
	})
	if err != nil {
		return nil, err
	}
	defer coll.Close()
	counts := make(map[string]int)
	for name, program := range coll.Programs {
		match := processed.FindStringSubmatch(program.VerifierLog)
		if match == nil {
			return nil, fmt.Errorf("the verifier's log does not say how much it processed of %s", name)
		}
		if counts[name], err = strconv.Atoi(match[1]); err != nil {
			return nil, err
		}
	}
	return counts, nil
}

func open(mode string) error {
	start := time.Now()
	p, err := probes.Open(probes.Options{Attach: mode})
	if err != nil {
		return err
	}
	bytes, err := p.MapBytes()
	fmt.Printf("attach %-10s as %s in %.2f s, maps %d KiB", mode, p.Attach(), time.Since(start).Seconds(), bytes>>10)
	if p.Fallback() != nil {
		fmt.Printf(", because %s", tail(p.Fallback()))
	}
	fmt.Println()
	return errors.Join(err, p.Seed(probes.SeedRest), p.Close())
}

// isTracing tells fentry and fexit, whose function a kernel may lack.
func isTracing(p *ebpf.ProgramSpec) bool {
	return p.AttachType == ebpf.AttachTraceFEntry || p.AttachType == ebpf.AttachTraceFExit
}

func refusedByVerifier(err error) bool {
	var v *ebpf.VerifierError
	return errors.As(err, &v)
}

// tail returns an error with the last of what the verifier had to say about it.
func tail(err error) string {
	var v *ebpf.VerifierError
	if !errors.As(err, &v) {
		return err.Error()
	}
	return fmt.Sprintf("%v\n\t%s", err, strings.Join(v.Log[max(0, len(v.Log)-logLines):], "\n\t"))
}
