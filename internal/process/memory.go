// SPDX-License-Identifier: Apache-2.0

package process

import (
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// Memory reads another process's memory. Read fills p completely or returns an error.
type Memory interface {
	Read(addr uint64, p []byte) error
}

// Memory returns the process's memory. Reads go by pid: who keeps it longer than a moment
// asks Same before trusting what was read.
func (p *Process) Memory() Memory { return vm(p.PID) }

// vm reads by process_vm_readv, which needs the right to ptrace but stops nothing.
type vm int

func (pid vm) Read(addr uint64, p []byte) error {
	if len(p) == 0 {
		return nil
	}
	local := []unix.Iovec{{Base: &p[0]}}
	local[0].SetLen(len(p))
	n, err := unix.ProcessVMReadv(int(pid), local, []unix.RemoteIovec{{Base: uintptr(addr), Len: len(p)}}, 0)
	if err != nil {
		return fmt.Errorf("read %d bytes at %#x of process %d: %w", len(p), addr, int(pid), err)
	}
	if n != len(p) {
		return fmt.Errorf("read %d bytes at %#x of process %d: %w", len(p), addr, int(pid), io.ErrUnexpectedEOF)
	}
	return nil
}
