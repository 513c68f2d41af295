// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/loopwatch/loopwatch/vmtest/job"
)

// arch is what differs between guests of different architectures.
type arch struct {
	name     string // what Debian and Go call it
	emulator string
	pkg      string   // Debian package of the emulator
	machine  []string // qemu's options
	emulated string   // qemu's -cpu where it emulates one
	console  string   // of the kernel
	disk     string   // device of the root
	memory   bool     // it is memory that keeps its content, so nobody waits for it; else a virtio disk
	modules  []string // for the root and the ports
	ports    []string // qemu's options for the two ports, on chardevs output and status
	jobPorts job.Ports
}

var arches = []arch{
	{
		name: "amd64", emulator: "qemu-system-x86_64", pkg: "qemu-system-x86",
		machine: []string{"-machine", "pc,nvdimm=on"},
		// Under qemu 7.2 five-level paging crashes guests at random, and cmpxchg16b, which the
		// kernel's allocator uses where it is, now and then leaves garbage in the flags.
		emulated: "max,la57=off,cx16=off",
		console:  "ttyS0",
		disk:     "/dev/pmem0",
		memory:   true,
		modules:  []string{"nfit", "nd_pmem"},
		ports:    []string{"-serial", "chardev:output", "-serial", "chardev:status"},
		jobPorts: job.Ports{Output: "/dev/ttyS1", Status: "/dev/ttyS2"},
	},
	{
		name: "arm64", emulator: "qemu-system-aarch64", pkg: "qemu-system-arm",
		machine: []string{"-machine", "virt"},
		// Pointer authentication is emulated at a great price, and proves nothing here.
		emulated: "max,pauth=off,lpa2=off,sve=off,sme=off",
		console:  "ttyAMA0",  // of which there is one
		disk:     "/dev/vda", // an NVDIMM takes firmware there
		modules:  []string{"virtio_pci", "virtio_blk", "8250_pci"},
		ports:    []string{"-device", "pci-serial,chardev=output", "-device", "pci-serial,chardev=status"},
		jobPorts: job.Ports{Output: "/dev/ttyS0", Status: "/dev/ttyS1"},
	},
}

// archNamed finds an architecture by Debian's name for it.
func archNamed(name string) (arch, error) {
	var known []string
	for _, a := range arches {
		if a.name == name {
			return a, nil
		}
		known = append(known, a.name)
	}
	return arch{}, fmt.Errorf("unknown architecture %q: known are %s", name, strings.Join(known, ", "))
}

// native reports whether this machine's CPUs are of that kind.
func (a arch) native() bool { return a.name == runtime.GOARCH }
