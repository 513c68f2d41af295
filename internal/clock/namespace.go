// SPDX-License-Identifier: Apache-2.0

package clock

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// initial is the time namespace of the host. Its number is PROC_TIME_INIT_INO, include/linux/proc_ns.h (Linux 5.6).
const initial = "time:[4026531834]"

// errAnother says that a process made a time namespace for its children and is in another one: the kernel tells only that of
// the children.
var errAnother = errors.New("the offset of its time namespace is not told")

// Offset returns by how many nanoseconds CLOCK_MONOTONIC, as the process reads it whose directory below /proc this is, is ahead
// of the kernel's own: processes may have time namespaces (containers, CRIU).
func Offset(proc string) (int64, error) {
	own, err := os.Readlink(filepath.Join(proc, "ns/time"))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err = os.Stat(filepath.Join(proc, "ns")); err == nil {
			return 0, nil // before Linux 5.6, or without CONFIG_TIME_NS
		}
	}
	if err != nil || own == initial {
		return 0, err
	}
	children, err := os.Readlink(filepath.Join(proc, "ns/time_for_children"))
	if err == nil && children != own {
		err = errAnother
	}
	if err != nil {
		return 0, err
	}
	f, err := os.Open(filepath.Join(proc, "timens_offsets"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return 0, err
	}
	return parseOffset(b)
}

// parseOffset finds the offset of CLOCK_MONOTONIC in what timens_offsets says: a clock a line, with seconds and nanoseconds.
func parseOffset(b []byte) (int64, error) {
	for line := range bytes.Lines(b) {
		fields := bytes.Fields(line)
		if len(fields) != 3 || string(fields[0]) != "monotonic" {
			continue
		}
		seconds, err := strconv.ParseInt(string(fields[1]), 10, 64)
		ns, nsErr := strconv.ParseInt(string(fields[2]), 10, 64)
		const most = 1 << 33 // seconds, of which int64 holds the nanoseconds
		if err := errors.Join(err, nsErr); err != nil || seconds < -most || seconds > most || ns < 0 || ns >= int64(time.Second) {
			return 0, fmt.Errorf("timens_offsets: %q", line)
		}
		return seconds*int64(time.Second) + ns, nil
	}
	return 0, errors.New("timens_offsets has no monotonic clock")
}

// ownOffset is Offset of this program, which stays in its time namespace. It is 0 where it is not told.
var ownOffset = sync.OnceValue(func() int64 {
	offset, _ := Offset("/proc/self")
	return offset
})
