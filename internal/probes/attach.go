// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/abi"
	"github.com/loopwatch/loopwatch/internal/probes/host"
	"github.com/loopwatch/loopwatch/internal/probes/ticks"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
)

const statsRunTime = unix.BPF_STATS_RUN_TIME

// A hook is one way in which programs are attached, and these programs.
type hook struct {
	name     host.Hook
	what     string // for people
	programs []string
	attach   func(*Probes, Options) error // nil: attached when needed
}

// hooks are all of them, in the order in which they are attached. The waits come last: a thread that they have met has its
// sleeps and its time on a CPU counted from the first moment.
var hooks = []hook{
	{host.Tracing, "scheduler, fork, exec and exit", []string{loopwatchProgOnSwitch, loopwatchProgOnWaking, loopwatchProgOnFork, loopwatchProgOnExec, loopwatchProgOnExit}, (*Probes).attachTracing},
	{host.Clock, "a clock on each CPU", []string{loopwatchProgOnTick}, (*Probes).attachTicks},
	{host.Fentry, "entry and return of do_epoll_wait", []string{loopwatchProgFexitWait, loopwatchProgFentryWait, loopwatchProgOnReady}, (*Probes).attachFentry},
	{host.Tracepoint, "entry and return of epoll_wait, epoll_pwait and epoll_pwait2", []string{loopwatchProgExitWait, loopwatchProgEnterWait}, (*Probes).attachWaits},
	{host.Iterator, "threads that are there already", []string{loopwatchProgSeed, loopwatchProgListPointers}, nil},
}

// waitHook tells the two ways to hook the waits, of which an observation uses one.
func waitHook(h host.Hook) bool { return h == host.Fentry || h == host.Tracepoint }

// attachAll attaches the programs of one mode and those all modes share.
func (p *Probes) attachAll(mode string, o Options) error {
	for _, h := range hooks {
		if h.attach == nil || waitHook(h.name) && string(h.name) != mode {
			continue
		}
		if err := h.attach(p, o); err != nil {
			return err
		}
	}
	return nil
}

// keep remembers what has to be closed to detach.
func (p *Probes) keep(c io.Closer, err error) error {
	if err == nil {
		p.closers = append(p.closers, c)
	}
	return err
}

// attachFentry hooks the waits. The return goes first, here and by tracepoints: a wait whose
// entry was seen and whose return was not would look endless.
func (p *Probes) attachFentry(Options) error {
	if err := p.attachPrograms(loopwatchProgFexitWait, loopwatchProgFentryWait); err != nil {
		return err
	}
	if p.coll.Programs[loopwatchProgOnReady] == nil {
		return nil
	}
	// The kernel notes when events begin to wait for a block to end.
	if err := p.attachPrograms(loopwatchProgOnReady); err != nil {
		return err
	}
	return p.coll.Variables[loopwatchVarWatchReady].Set(uint32(1))
}

func (p *Probes) attachTracing(Options) error {
	return p.attachPrograms(loopwatchProgOnSwitch, loopwatchProgOnWaking, loopwatchProgOnFork, loopwatchProgOnExec, loopwatchProgOnExit)
}

func (p *Probes) attachPrograms(names ...string) error {
	for _, name := range names {
		if err := p.keep(link.AttachTracing(link.TracingOptions{Program: p.coll.Programs[name]})); err != nil {
			return fmt.Errorf("attach %s: %w", name, err)
		}
	}
	return nil
}

// readyFunction is called by the kernel with each event that an epoll instance has.
const readyFunction = "ep_poll_callback"

// hasFunction reports whether this kernel has one function of that name which fentry could hook.
func hasFunction(types *btf.Cache, name string) bool {
	kernel, err := types.Kernel()
	if err != nil {
		return false
	}
	var f *btf.Func
	return kernel.TypeByName(name, &f) == nil
}

// attachWaits attaches to the tracepoints of those waits this kernel has: epoll_pwait2 is 5.11.
func (p *Probes) attachWaits(Options) error {
	attached := 0
	for _, syscall := range waits {
		err := p.keep(link.Tracepoint("syscalls", "sys_exit_"+syscall, p.coll.Programs[loopwatchProgExitWait], nil))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = p.keep(link.Tracepoint("syscalls", "sys_enter_"+syscall, p.coll.Programs[loopwatchProgEnterWait], nil))
		}
		if err != nil {
			return fmt.Errorf("attach to %s: %w", syscall, err)
		}
		attached++
	}
	if attached == 0 {
		return errors.New("there is no tracepoint for any of the epoll syscalls")
	}
	return nil
}

// attachTicks opens a cpu-clock event on every CPU that is online.
func (p *Probes) attachTicks(o Options) error {
	p.ticks = ticks.New(p.coll.Programs[loopwatchProgOnTick], o.Rate)
	return p.FollowCPUs()
}

// FollowCPUs opens clocks on CPUs that have come online since, and closes those of CPUs that have gone. To be called about once a
// second. The error says why a CPU that is online has none; Counters says how many there are.
func (p *Probes) FollowCPUs() error {
	cpus, err := onlineCPUs()
	if err != nil {
		return err
	}
	return p.ticks.Follow(cpus)
}

// Seed announces every thread of the processes already said to be Python, so that loops that
// rest, or are blocked right now, are known without waiting for their next wait.
func (p *Probes) Seed(pass SeedPass) error {
	if err := p.coll.Variables[loopwatchVarSeeding].Set(uint32(pass)); err != nil {
		return fmt.Errorf("choose the threads to announce: %w", err)
	}
	return p.visitTasks(loopwatchProgSeed)
}

// SeedPass chooses among the threads that Seed announces.
type SeedPass uint32

const (
	SeedActive = SeedPass(abi.SeedActive) // those outside a wait: perhaps in a block
	SeedRest   = SeedPass(abi.SeedRest)   // all others
)

// maxThreads bounds the threads ThreadPointers lists of one process.
const maxThreads = 1 << 16

// ThreadPointers lists the threads of a process now, by their thread pointers. It
// looks at every thread of the host. Not safe for concurrent use.
func (p *Probes) ThreadPointers(pid int) (map[uint64]int, error) {
	if err := p.coll.Variables[loopwatchVarListed].Set(int32(pid)); err != nil {
		return nil, fmt.Errorf("choose process %d: %w", pid, err)
	}
	var listed []abi.ThreadPointer
	err := p.iterate(loopwatchProgListPointers, func(r io.Reader) (err error) {
		listed, err = wire.ReadAll[abi.ThreadPointer](r, maxThreads)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := make(map[uint64]int, len(listed))
	for _, k := range listed {
		out[k.Pointer] = int(k.Tid)
	}
	return out, nil
}

// visitTasks runs a task iterator that writes nothing.
func (p *Probes) visitTasks(program string) error {
	return p.iterate(program, func(r io.Reader) error {
		_, err := io.Copy(io.Discard, r)
		return err
	})
}

// iterate runs a task iterator once, and has read read all that it writes.
func (p *Probes) iterate(program string, read func(io.Reader) error) error {
	it, err := link.AttachIter(link.IterOptions{Program: p.coll.Programs[program]})
	if err != nil {
		return fmt.Errorf("attach task iterator: %w", err)
	}
	defer it.Close()
	r, err := it.Open()
	if err != nil {
		return fmt.Errorf("open task iterator: %w", err)
	}
	defer r.Close()
	if err := read(r); err != nil {
		return fmt.Errorf("run task iterator: %w", err)
	}
	return nil
}

// onlineCPUs parses a list such as "0-3,8".
func onlineCPUs() ([]int, error) {
	const file = "/sys/devices/system/cpu/online"
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var cpus []int
	for _, part := range strings.Split(strings.TrimSpace(string(text)), ",") {
		from, to, isRange := strings.Cut(part, "-")
		a, err := strconv.Atoi(from)
		b := a
		if isRange && err == nil {
			b, err = strconv.Atoi(to)
		}
		if err != nil {
			return nil, fmt.Errorf("parse %s: %w", file, err)
		}
		for ; a <= b; a++ {
			cpus = append(cpus, a)
		}
	}
	return cpus, nil
}
