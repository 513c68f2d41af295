// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"

	"github.com/loopwatch/loopwatch/internal/syscalls"
)

// MaxLoops bounds the loops watched at once.
const MaxLoops = 4096

// samplesPerLoop is SAMPLES_PER_LOOP of bpf/records.h, which the object's own map carries.
const samplesPerLoop = 12

// syscallObjects is SYSCALLS of bpf/records.h.
const syscallObjects = 512

// configure sets sizes and constants before loading.
func configure(spec *ebpf.CollectionSpec, o Options) error {
	samples := spec.Maps[loopwatchMapSamples]
	if samples.MaxEntries != samplesPerLoop {
		return fmt.Errorf("object holds %d samples a loop, not %d: regenerate it", samples.MaxEntries, samplesPerLoop)
	}
	samples.MaxEntries = uint32(o.Loops) * samplesPerLoop
	spec.Maps[loopwatchMapBooks].MaxEntries = uint32(o.Loops)
	if err := spec.Variables[loopwatchVarSyscallObjects].Set(syscalls.Objects(syscallObjects)); err != nil {
		return err
	}
	spec.Maps[loopwatchMapInsides].MaxEntries = uint32(o.Loops)
	if !o.Filter {
		spec.Maps[loopwatchMapWanted].MaxEntries = 1 // all room is made at once
	}
	if err := spec.Variables[loopwatchVarThreshold].Set(uint64(o.Threshold)); err != nil {
		return err
	}
	if err := spec.Variables[loopwatchVarFiltered].Set(flag(o.Filter)); err != nil {
		return err
	}
	return spec.Variables[loopwatchVarFollowChildren].Set(flag(o.FollowChildren))
}

func flag(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// BytesPerLoop is the kernel memory one loop's books, held samples and probes take.
const BytesPerLoop = int(unsafe.Sizeof(loopwatchLoopBooks{}) + unsafe.Sizeof(loopwatchInside{}) + samplesPerLoop*unsafe.Sizeof(loopwatchHeldSample{}))

// MapBytes returns the memory of all maps in bytes, as the kernel accounts it where it does
// (memlock of fdinfo), for the sizes now loaded.
func (p *Probes) MapBytes() (uint64, error) {
	var sum uint64
	for name, m := range p.coll.Maps {
		info, err := m.Info()
		if err != nil {
			return 0, fmt.Errorf("size of map %s: %w", name, err)
		}
		if n, ok := info.Memlock(); ok {
			sum += n
		}
	}
	return sum, nil
}
