// SPDX-License-Identifier: Apache-2.0

package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Syscall is what a thread is doing in the kernel, as /proc/PID/task/TID/syscall has it.
type Syscall struct {
	Running bool // on a CPU or about to be: nothing else is known
	Number  int  // -1 where it sleeps in no syscall, as in a page fault
	Args    [6]uint64
}

// Syscall reads what a thread of the process is doing in the kernel.
func (p *Process) Syscall(tid int) (Syscall, error) {
	b, err := p.readFile(filepath.Join("task", strconv.Itoa(tid), "syscall"), 512)
	if err != nil {
		return Syscall{}, fmt.Errorf("syscall of thread %d: %w", tid, err)
	}
	return parseSyscall(string(b))
}

func parseSyscall(text string) (Syscall, error) {
	fields := strings.Fields(text)
	if len(fields) > 0 && fields[0] == "running" {
		return Syscall{Running: true, Number: -1}, nil
	}
	if len(fields) == 0 {
		return Syscall{}, fmt.Errorf("syscall is empty")
	}
	n, err := strconv.Atoi(fields[0])
	if err != nil {
		return Syscall{}, fmt.Errorf("syscall number: %w", err)
	}
	s := Syscall{Number: n}
	if n < 0 {
		return s, nil
	}
	if len(fields) < 1+len(s.Args) {
		return Syscall{}, fmt.Errorf("syscall has %d fields", len(fields))
	}
	for i := range s.Args {
		if s.Args[i], err = strconv.ParseUint(fields[1+i], 0, 64); err != nil {
			return Syscall{}, fmt.Errorf("syscall argument: %w", err)
		}
	}
	return s, nil
}

// Descriptor returns the i_mode of the file behind a descriptor of the process, its device number
// as the kernel keeps it, and what the kernel calls it: a path as the process sees it, or a name
// like "pipe:[123]". All are zero where it cannot be read. Nothing is opened.
func (p *Process) Descriptor(fd int) (mode, device uint32, name string) {
	link := p.path(filepath.Join("fd", strconv.Itoa(fd)))
	st, err := ask(p.files, func() (st unix.Stat_t, err error) { return st, unix.Stat(link, &st) })
	if err != nil {
		return 0, 0, ""
	}
	name, _ = os.Readlink(link)
	return st.Mode, unix.Major(st.Rdev)<<20 | unix.Minor(st.Rdev), name
}

// maxFDInfo bounds what is read of a fdinfo file: an epoll descriptor has a line for each it watches.
const maxFDInfo = 64 << 10

// DescriptorInfo returns the numbers that the kernel lists under a name for a descriptor of the process, such as
// "Pid" of a pidfd and "tfd" of an epoll descriptor: one for each line, at most max of them.
func (p *Process) DescriptorInfo(fd int, name string, max int) (out []int) {
	b, err := p.readFile(filepath.Join("fdinfo", strconv.Itoa(fd)), maxFDInfo)
	if err != nil {
		return nil
	}
	return parseFDInfo(string(b), name, max)
}

func parseFDInfo(text, name string, max int) (out []int) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name+":")
		if !ok || len(out) >= max {
			continue
		}
		if f := strings.Fields(rest); len(f) > 0 {
			if n, err := strconv.Atoi(f[0]); err == nil {
				out = append(out, n)
			}
		}
	}
	return out
}

// Link returns where one of the links in the process's directory of /proc leads, such as "cwd" or "fd/3", as the
// process sees it; "" where it cannot be read. Nothing is opened.
func (p *Process) Link(name string) string {
	to, _ := os.Readlink(p.path(name))
	return to
}
