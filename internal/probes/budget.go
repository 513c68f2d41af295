// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"

	"github.com/loopwatch/loopwatch/internal/abi"
	"github.com/loopwatch/loopwatch/internal/syscalls"
)

// MaxLoops bounds the loops watched at once.
const MaxLoops = 4096

// configure sets sizes and constants before loading.
func configure(spec *ebpf.CollectionSpec, o Options) error {
	spec.Maps[loopwatchMapSamples].MaxEntries = uint32(o.Loops) * abi.SamplesPerLoop
	spec.Maps[loopwatchMapStatistics].MaxEntries = uint32(o.Loops)
	spec.Maps[loopwatchMapReadyEvents].MaxEntries = uint32(o.Loops)
	spec.Maps[loopwatchMapUsdtAccounts].MaxEntries = uint32(o.Loops)
	if err := spec.Variables[loopwatchVarSyscallObjects].Set(syscalls.Objects(abi.Syscalls)); err != nil {
		return err
	}
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

// BytesPerLoop is the kernel memory that the statistics, ready events, held samples and USDT account of one loop take.
const BytesPerLoop = int(unsafe.Sizeof(abi.LoopStatistics{}) + unsafe.Sizeof(abi.ReadyEvents{}) + unsafe.Sizeof(abi.UsdtAccount{}) + abi.SamplesPerLoop*unsafe.Sizeof(abi.HeldSample{}))

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
