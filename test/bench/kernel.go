// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"github.com/loopwatch/loopwatch/internal/probes"
)

// programsOf returns the ids of the BPF programs a process holds.
func programsOf(pid int) ([]ebpf.ProgramID, error) {
	var ids []ebpf.ProgramID
	err := eachDescriptor(pid, "prog_id:", func(path string, id int64) error {
		// A link names its program, too.
		if ebpfID := ebpf.ProgramID(id); !slices.Contains(ids, ebpfID) {
			ids = append(ids, ebpfID)
		}
		return nil
	})
	return ids, err
}

// mapBytesOf returns the kernel memory of the BPF maps a process holds.
func mapBytesOf(pid int) (sum int64, err error) {
	seen := map[int64]bool{}
	err = eachDescriptor(pid, "map_id:", func(path string, id int64) error {
		if seen[id] {
			return nil
		}
		seen[id] = true
		n, err := fieldOf(path, "memlock:")
		sum += n
		return err
	})
	return sum, err
}

// eachDescriptor calls f for every descriptor of a process whose fdinfo has a field.
func eachDescriptor(pid int, field string, f func(path string, value int64) error) error {
	paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	if err != nil {
		return err
	}
	for _, path := range paths {
		value, err := fieldOf(path, field)
		if err != nil { // no such field, or the descriptor is closed by now
			continue
		}
		if err := f(path, value); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// foreignPrograms returns the ids of all BPF programs of the host but those of this process
// and of the loopwatch it runs.
func (b *bench) foreignPrograms() ([]ebpf.ProgramID, error) {
	own, err := programsOf(os.Getpid())
	if err != nil {
		return nil, err
	}
	if b.watching != nil {
		more, err := programsOf(b.watching.pid())
		if err != nil {
			return nil, err
		}
		own = append(own, more...)
	}
	var foreign []ebpf.ProgramID
	for id := ebpf.ProgramID(0); ; {
		id, err = ebpf.ProgramGetNextID(id)
		if errors.Is(err, os.ErrNotExist) {
			return foreign, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list BPF programs: %w", err)
		}
		if !slices.Contains(own, id) {
			foreign = append(foreign, id)
		}
	}
}

// cost is what one BPF program has used so far.
type cost struct {
	name string
	runs uint64
	ns   int64
}

// perRun returns the average nanoseconds of a run.
func (c cost) perRun() float64 { return float64(c.ns) / float64(max(c.runs, 1)) }

// costs reads what the programs of a process have used, by name. Kernel names end after 15 bytes.
func costs(ids []ebpf.ProgramID) (map[string]cost, error) {
	out := make(map[string]cost)
	for _, id := range ids {
		c, err := costOf(id)
		if err != nil {
			return nil, fmt.Errorf("statistics of BPF program %d: %w", id, err)
		}
		out[c.name] = c
	}
	return out, nil
}

func costOf(id ebpf.ProgramID) (cost, error) {
	p, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return cost{}, err
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		return cost{}, err
	}
	s, err := p.Stats()
	if err != nil {
		return cost{}, err
	}
	return cost{name: info.Name, runs: s.RunCount, ns: int64(s.Runtime)}, nil
}

// spent returns what the programs have used between two readings, by name.
func spent(before, after map[string]cost) []cost {
	var out []cost
	for _, name := range slices.Sorted(maps.Keys(after)) {
		a, b := after[name], before[name]
		out = append(out, cost{name: name, runs: a.runs - b.runs, ns: a.ns - b.ns})
	}
	return out
}

// emptyName is what the empty programs are called in the kernel.
const emptyName = "empty"

// emptyHooks are programs that return at once.
type emptyHooks struct {
	programs []*ebpf.Program
	links    []link.Link
}

func (h *emptyHooks) close() error {
	var err error
	for _, l := range h.links {
		err = errors.Join(err, l.Close())
	}
	for _, p := range h.programs {
		err = errors.Join(err, p.Close())
	}
	return err
}

// load makes one empty program.
func (h *emptyHooks) load(spec ebpf.ProgramSpec) (*ebpf.Program, error) {
	spec.License = "Apache-2.0"
	if spec.Name == "" {
		spec.Name = emptyName
	}
	spec.Instructions = asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}
	p, err := ebpf.NewProgram(&spec)
	if err == nil {
		h.programs = append(h.programs, p)
	}
	return p, err
}

func (h *emptyHooks) keep(l link.Link, err error) error {
	if err == nil {
		h.links = append(h.links, l)
	}
	return err
}

// hookTasks attaches empty programs where loopwatch sees tasks switch and be woken.
func (h *emptyHooks) hookTasks() error {
	for _, hook := range taskHooks {
		p, err := h.load(ebpf.ProgramSpec{Name: hook.empty, Type: ebpf.Tracing, AttachType: ebpf.AttachTraceRawTp, AttachTo: hook.at})
		if err != nil {
			return fmt.Errorf("load an empty program: %w", err)
		}
		if err := h.keep(link.AttachTracing(link.TracingOptions{Program: p})); err != nil {
			return fmt.Errorf("attach an empty program to %s: %w", hook.at, err)
		}
	}
	return nil
}

// hookWaits attaches empty programs where loopwatch sees waits begin and end.
func (h *emptyHooks) hookWaits(attach string) error {
	for _, wait := range waits() {
		if err := h.hookWait(wait, attach); err != nil {
			return fmt.Errorf("attach empty programs to %s: %w", wait, err)
		}
	}
	return nil
}

func (h *emptyHooks) hookWait(wait, attach string) error {
	if attach == probes.AttachTracepoint {
		p, err := h.load(ebpf.ProgramSpec{Type: ebpf.TracePoint})
		return errors.Join(err,
			h.keep(link.Tracepoint("syscalls", "sys_exit_"+wait, p, nil)),
			h.keep(link.Tracepoint("syscalls", "sys_enter_"+wait, p, nil)))
	}
	for _, at := range []ebpf.AttachType{ebpf.AttachTraceFExit, ebpf.AttachTraceFEntry} {
		p, err := h.load(ebpf.ProgramSpec{Type: ebpf.Tracing, AttachType: at, AttachTo: syscallPrefix[runtime.GOARCH] + wait})
		if err != nil {
			return err
		}
		if err := h.keep(link.AttachTracing(link.TracingOptions{Program: p})); err != nil {
			return err
		}
	}
	return nil
}

// syscallPrefix begins the names of the kernel's syscall functions.
var syscallPrefix = map[string]string{"amd64": "__x64_sys_", "arm64": "__arm64_sys_"}

// waits are the syscalls loops rest in.
func waits() []string {
	if runtime.GOARCH == "arm64" { // never had the first
		return []string{"epoll_pwait", "epoll_pwait2"}
	}
	return []string{"epoll_wait", "epoll_pwait", "epoll_pwait2"}
}
