// SPDX-License-Identifier: Apache-2.0

// Package ticks has a program run on each CPU, so many times a second. In go the program, the rate and the CPUs that are online;
// out come cpu-clock events that follow those CPUs, and how many CPUs have none.
package ticks

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Ticks are the clocks of all CPUs. Nil Ticks have none.
type Ticks struct {
	program *ebpf.Program
	rate    int
	clocks  map[int]*clock // by CPU
	missing int            // CPUs that are online and have none
}

// clock is the cpu-clock event of one CPU.
type clock struct {
	file *os.File
	ns   uint64 // what it had counted when it was last looked at
}

// New returns Ticks without a clock. Follow opens them; each runs the program rate times a second.
func New(program *ebpf.Program, rate int) *Ticks {
	return &Ticks{program: program, rate: rate, clocks: make(map[int]*clock)}
}

// Missing returns how many CPUs had no clock though they were online when Follow was last called.
func (t *Ticks) Missing() int {
	if t == nil {
		return 0
	}
	return t.missing
}

// Follow brings the clocks in line with the CPUs that are online. The kernel takes the event of a CPU that goes offline off
// it for good: one that has counted nothing since the last look is opened anew. The first of the errors is returned; the
// other CPUs have their clocks all the same.
func (t *Ticks) Follow(online []int) (failed error) {
	t.missing = 0
	for cpu, c := range t.clocks {
		if !slices.Contains(online, cpu) || !c.counts() {
			c.file.Close()
			delete(t.clocks, cpu)
		}
	}
	for _, cpu := range online {
		if t.clocks[cpu] != nil {
			continue
		}
		c, err := t.open(cpu)
		switch {
		case err == nil:
			t.clocks[cpu] = c
		case !errors.Is(err, unix.ENODEV): // or else it went offline meanwhile
			t.missing++
			if failed == nil {
				failed = err
			}
		}
	}
	return failed
}

// open starts the clock of a CPU.
func (t *Ticks) open(cpu int) (*clock, error) {
	fd, err := unix.PerfEventOpen(&unix.PerfEventAttr{
		Type:   unix.PERF_TYPE_SOFTWARE,
		Config: unix.PERF_COUNT_SW_CPU_CLOCK,
		Sample: period(t.rate),
	}, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open cpu-clock event on CPU %d: %w", cpu, err)
	}
	c := &clock{file: os.NewFile(uintptr(fd), "cpu-clock")}
	if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_SET_BPF, t.program.FD()); err != nil {
		c.file.Close()
		return nil, fmt.Errorf("attach to cpu-clock on CPU %d: %w", cpu, err)
	}
	if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_ENABLE, 0); err != nil {
		c.file.Close()
		return nil, fmt.Errorf("start cpu-clock on CPU %d: %w", cpu, err)
	}
	return c, nil
}

// counts reports whether the clock has gone on since the last call.
func (c *clock) counts() bool {
	var b [8]byte
	if _, err := io.ReadFull(c.file, b[:]); err != nil {
		return false
	}
	before := c.ns
	c.ns = binary.NativeEndian.Uint64(b[:])
	return c.ns > before
}

// SetRate changes the ticks a second.
func (t *Ticks) SetRate(rate int) error {
	t.rate = rate
	for _, c := range t.clocks {
		p := period(rate)
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, c.file.Fd(), unix.PERF_EVENT_IOC_PERIOD, uintptr(unsafe.Pointer(&p)))
		if errno != 0 && errno != unix.ENODEV {
			return fmt.Errorf("set the rate of %s: %w", c.file.Name(), errno)
		}
	}
	return nil
}

// Close stops all clocks.
func (t *Ticks) Close() {
	if t == nil {
		return
	}
	for _, c := range t.clocks {
		c.file.Close()
	}
	clear(t.clocks)
}

// period returns the nanoseconds between two ticks.
func period(rate int) uint64 { return uint64(1_000_000_000 / rate) }
