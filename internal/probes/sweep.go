// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/abi"
)

// Kept is what the kernel side keeps.
type Kept struct {
	Processes map[int]Verdict // by process id
	Threads   map[int]bool    // by thread id
}

// Sweep deletes what the maps keep of processes and threads that do not live, and returns what is left. The programs delete
// most of that when a process or a thread ends. What user space enters after that moment is left to Sweep. To be called every
// ten seconds or so.
func (p *Probes) Sweep() (Kept, error) {
	if err := p.remark(); err != nil {
		return Kept{}, err
	}
	// Before the threads: one is entered after its thread.
	epolls, err := entries[uint64, uint32](p, loopwatchMapEpolls)
	if err != nil {
		return Kept{}, err
	}
	configs, err := entries[uint32, abi.ThreadConfig](p, loopwatchMapConfigs)
	if err != nil {
		return Kept{}, err
	}
	threads, err := entries[uint32, abi.Thread](p, loopwatchMapThreads)
	if err != nil {
		return Kept{}, err
	}
	processes, err := entries[uint32, abi.Process](p, loopwatchMapProcesses)
	if err != nil {
		return Kept{}, err
	}
	wanted, err := entries[uint32, uint32](p, loopwatchMapWanted)
	if err != nil {
		return Kept{}, err
	}
	err = errors.Join(
		sweep(p, loopwatchMapThreads, threads, func(tid uint32, _ abi.Thread) bool { return lives(tid) }),
		sweep(p, loopwatchMapConfigs, configs, func(tid uint32, _ abi.ThreadConfig) bool { return lives(tid) }),
		sweep(p, loopwatchMapProcesses, processes, func(pid uint32, _ abi.Process) bool { return lives(pid) }),
		sweep(p, loopwatchMapWanted, wanted, func(pid uint32, _ uint32) bool { return lives(pid) }),
		sweep(p, loopwatchMapEpolls, epolls, func(epoll uint64, tid uint32) bool { return threads[tid].Epoll == epoll }),
	)
	kept := Kept{Processes: make(map[int]Verdict, len(processes)), Threads: make(map[int]bool, len(threads))}
	for tid := range threads {
		kept.Threads[int(tid)] = true
	}
	for pid, k := range processes {
		kept.Processes[int(pid)] = Verdict(k.Verdict)
	}
	return kept, err
}

// entries reads a hash map.
func entries[K comparable, V any](p *Probes, name string) (map[K]V, error) {
	out := make(map[K]V)
	if err := readAll(p.coll.Maps[name], func(k K, v *V) { out[k] = *v }); err != nil {
		return nil, fmt.Errorf("read map %s: %w", name, err)
	}
	return out, nil
}

// sweep deletes those entries of a map that keep does not want kept, also from known.
func sweep[K comparable, V any](p *Probes, name string, known map[K]V, keep func(K, V) bool) error {
	for k, v := range known {
		if keep(k, v) {
			continue
		}
		if err := ignoreMissing(p.coll.Maps[name].Delete(k)); err != nil {
			return fmt.Errorf("delete from map %s: %w", name, err)
		}
		delete(known, k)
	}
	return nil
}

// lives reports whether there is a thread of that id.
func lives(tid uint32) bool { return unix.Kill(int(tid), 0) != unix.ESRCH }

// remark clears the marks of thread ids that are no longer in the map of threads. Without it, what other threads pay for
// loopwatch would grow: thread ids are used again.
func (p *Probes) remark() error {
	now, before := p.coll.Variables[loopwatchVarMark], p.coll.Variables[loopwatchVarMarkBefore]
	mark := max(p.mark, abi.InitialMark)%abi.LastMark + 1
	if err := now.Set(mark); err != nil {
		return fmt.Errorf("set the mark: %w", err)
	}
	p.mark = mark
	if err := p.iterate(loopwatchProgRemark, func(r io.Reader) error {
		_, err := io.Copy(io.Discard, r)
		return err
	}); err != nil {
		return err
	}
	return before.Set(mark)
}
