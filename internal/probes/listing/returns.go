// SPDX-License-Identifier: Apache-2.0

package listing

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/probes/host"
)

// Returns counts how often one thread returns from certain syscalls, by a counter of the kernel's own. Close it.
type Returns struct{ fd int }

// CountReturns begins to count the returns of thread tid from the syscalls of these numbers. Where the tracepoint
// cannot be had the error is of the kind that Open returns, or the kernel's.
func (l *Listing) CountReturns(tid int, numbers []int) (*Returns, error) {
	id, err := l.sysExit()
	if err != nil {
		return nil, err
	}
	conditions := make([]string, len(numbers))
	for i, nr := range numbers {
		conditions[i] = "id == " + strconv.Itoa(nr)
	}
	filter, err := unix.BytePtrFromString(strings.Join(conditions, " || "))
	if err != nil {
		return nil, err
	}
	fd, err := unix.PerfEventOpen(&unix.PerfEventAttr{
		Type: unix.PERF_TYPE_TRACEPOINT, Config: id, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})), Bits: unix.PerfBitDisabled,
	}, tid, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open perf event of thread %d: %w", tid, err)
	}
	r := &Returns{fd}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.PERF_EVENT_IOC_SET_FILTER, uintptr(unsafe.Pointer(filter))); errno != 0 {
		return nil, errors.Join(fmt.Errorf("filter perf event of thread %d: %w", tid, errno), r.Close())
	}
	if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_ENABLE, 0); err != nil {
		return nil, errors.Join(fmt.Errorf("enable perf event of thread %d: %w", tid, err), r.Close())
	}
	return r, nil
}

// Count returns how many returns there were so far.
func (r *Returns) Count() (uint64, error) {
	var b [8]byte
	n, err := unix.Read(r.fd, b[:])
	if err == nil && n != len(b) {
		err = fmt.Errorf("%d bytes", n)
	}
	if err != nil {
		return 0, fmt.Errorf("read perf event: %w", err)
	}
	return binary.NativeEndian.Uint64(b[:]), nil
}

// Close ends the counting.
func (r *Returns) Close() error { return unix.Close(r.fd) }

// sysExit returns the number of the tracepoint at the end of syscalls.
func sysExit() (uint64, error) {
	for _, dir := range host.TracefsDirs() {
		if b, err := os.ReadFile(dir + "/events/raw_syscalls/sys_exit/id"); err == nil {
			return strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
		}
	}
	if err := host.Tracefs(); err != nil {
		return 0, err
	}
	return 0, &host.Error{What: "cannot watch this host", Why: "this kernel has no tracepoint raw_syscalls/sys_exit", Do: "use a kernel with CONFIG_FTRACE_SYSCALLS"}
}
