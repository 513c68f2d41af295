// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"errors"
	"fmt"

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
	threads, threadsErr := living[abi.Thread](p, loopwatchMapThreads)
	processes, processesErr := living[abi.Process](p, loopwatchMapProcesses)
	_, configsErr := living[abi.ThreadConfig](p, loopwatchMapConfigs)
	_, wantedErr := living[uint32](p, loopwatchMapWanted)
	if err := errors.Join(threadsErr, processesErr, configsErr, wantedErr); err != nil {
		return Kept{}, err
	}
	for epoll, tid := range epolls {
		if threads[tid].Epoll != epoll {
			if err := p.forget(loopwatchMapEpolls, epoll); err != nil {
				return Kept{}, err
			}
		}
	}
	kept := Kept{Processes: make(map[int]Verdict, len(processes)), Threads: make(map[int]bool, len(threads))}
	for tid := range threads {
		kept.Threads[int(tid)] = true
	}
	for pid, k := range processes {
		kept.Processes[int(pid)] = Verdict(k.Verdict)
	}
	return kept, nil
}

// entries reads a hash map.
func entries[K comparable, V any](p *Probes, name string) (map[K]V, error) {
	out := make(map[K]V)
	if err := readAll(p.coll.Maps[name], func(k K, v *V) { out[k] = *v }); err != nil {
		return nil, fmt.Errorf("read map %s: %w", name, err)
	}
	return out, nil
}

// living deletes the entries of a map of threads or processes that do not live, and returns the others.
func living[V any](p *Probes, name string) (map[uint32]V, error) {
	all, err := entries[uint32, V](p, name)
	if err != nil {
		return nil, err
	}
	for id := range all {
		if !lives(id) {
			if err := p.forget(name, id); err != nil {
				return nil, err
			}
			delete(all, id)
		}
	}
	return all, nil
}

// forget deletes an entry of a map, if it is there.
func (p *Probes) forget(name string, key any) error {
	if err := ignoreMissing(p.coll.Maps[name].Delete(key)); err != nil {
		return fmt.Errorf("delete from map %s: %w", name, err)
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
	if err := p.visitTasks(loopwatchProgRemark); err != nil {
		return err
	}
	return before.Set(mark)
}
