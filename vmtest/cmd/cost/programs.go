// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf"
)

// eachProgram calls f for every BPF program of the guest that has run: they are loopwatch's,
// as a guest has no others.
func eachProgram(f func(name string, runs uint64, runtime time.Duration)) error {
	for id := ebpf.ProgramID(0); ; {
		next, err := ebpf.ProgramGetNextID(id)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list BPF programs: %w", err)
		}
		id = next
		if err := withProgram(id, f); err != nil {
			return err
		}
	}
}

func withProgram(id ebpf.ProgramID, f func(string, uint64, time.Duration)) error {
	p, err := ebpf.NewProgramFromID(id)
	if errors.Is(err, os.ErrNotExist) { // gone meanwhile
		return nil
	}
	if err != nil {
		return fmt.Errorf("open BPF program %d: %w", id, err)
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		return fmt.Errorf("describe BPF program %d: %w", id, err)
	}
	stats, err := p.Stats()
	if err != nil {
		return fmt.Errorf("statistics of BPF program %s: %w", info.Name, err)
	}
	if stats.RunCount > 0 {
		f(info.Name, stats.RunCount, stats.Runtime)
	}
	return nil
}
