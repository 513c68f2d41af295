// SPDX-License-Identifier: Apache-2.0

// Package process is one Linux process seen from outside. It takes a pid, reads /proc and the
// process's memory, and hands out mappings, the files behind them, names, and the container
// and unit the process belongs to. It never stops, traces or writes to a process, and
// bounds everything it reads, since the process decides what stands there.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/clock"
)

// MaxCmdline bounds what Cmdline returns, in bytes.
const MaxCmdline = 4096

// Process is a process at the time Open saw it. A pid is used again sooner or later: Same
// reports whether it still means this process. It holds no descriptor and needs no Close.
type Process struct {
	PID       int
	PPID      int    // the parent at the time of Open
	StartTime uint64 // clock ticks since boot, field 22 of /proc/PID/stat
	Comm      string // name of the main thread, as the kernel keeps it: 15 bytes at most

	memory, files *caller // each may hang without the other

	// through is the thread by which the process is reached: the main thread, whose id is the pid, while that lives.
	through *atomic.Int32
}

// Open looks up a process. The error matches os.ErrNotExist where there is none of that pid.
func Open(pid int) (*Process, error) {
	if pid <= 0 {
		return nil, fmt.Errorf("open process %d: %w", pid, os.ErrNotExist)
	}
	p := &Process{PID: pid, memory: new(caller), files: new(caller), through: new(atomic.Int32)}
	p.through.Store(int32(pid))
	b, err := readFile(p.path("stat"), 4096)
	if err != nil {
		return nil, fmt.Errorf("open process %d: %w", pid, err)
	}
	s, err := parseStat(b)
	if err != nil {
		return nil, fmt.Errorf("open process %d: %w", pid, err)
	}
	p.Comm, p.PPID, p.StartTime = s.comm, s.parent, s.start
	if s.ended {
		p.goThrough(pid)
	}
	return p, nil
}

// maxThreadsAsked bounds the threads looked at for one that lives.
const maxThreadsAsked = 64

// goThrough finds a thread to reach the process by instead of one that has ended: the main thread may end before others.
func (p *Process) goThrough(ended int) bool {
	tids, err := p.Threads()
	if err != nil {
		return false
	}
	for _, tid := range tids[:min(len(tids), maxThreadsAsked)] {
		b, err := readFile(p.threadPath(tid, "stat"), 4096)
		if err != nil || tid == ended {
			continue
		}
		if s, err := parseStat(b); err == nil && !s.ended {
			p.through.Store(int32(tid))
			return true
		}
	}
	return false
}

// Now returns the present in the unit of StartTime.
func Now() uint64 {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return 0 // cannot fail on Linux with this clock
	}
	const perSecond = 100 // USER_HZ, the same on all that Linux shows to user space
	return uint64(now.Nano()) / (1e9 / perSecond)
}

// ClockOffset returns by how many nanoseconds the CLOCK_MONOTONIC that the process reads is ahead of clock.Monotonic: a time
// found in its memory has it in. An error says that it is not known, and that such a time cannot be used.
func (p *Process) ClockOffset() (int64, error) { return clock.Offset(p.path("")) }

// Same reports whether the pid still belongs to the process that Open saw, a zombie included.
func (p *Process) Same() bool {
	now, err := Open(p.PID)
	return err == nil && now.StartTime == p.StartTime
}

// stat is what we need of /proc/PID/stat.
type stat struct {
	comm   string
	ended  bool // a zombie, or nearly one
	parent int
	start  uint64
}

// parseStat parses /proc/PID/stat. The name in parentheses is the process's choice and may hold parentheses and spaces
// itself, hence the last one counts.
func parseStat(b []byte) (s stat, err error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return s, errors.New("stat has no name")
	}
	s.comm = string(b[open+1 : end])
	fields := strings.Fields(string(b[end+1:]))
	const state, parent, startTime = 3, 4, 22 // numbers of the fields, as in proc(5)
	if len(fields) <= startTime-state {
		return s, errors.New("stat is too short")
	}
	s.ended = fields[0] == "Z" || fields[0] == "X"
	if s.parent, err = strconv.Atoi(fields[parent-state]); err != nil {
		return s, fmt.Errorf("stat: parent: %w", err)
	}
	if s.start, err = strconv.ParseUint(fields[startTime-state], 10, 64); err != nil {
		return s, fmt.Errorf("stat: start time: %w", err)
	}
	return s, nil
}

// Cmdline returns the command line, arguments joined by spaces, MaxCmdline bytes at most, or
// the name in brackets where there is none (kernel threads, zombies). The process can write
// anything there, control characters too.
func (p *Process) Cmdline() string {
	b, err := p.readFile("cmdline", MaxCmdline)
	b = bytes.TrimRight(b, "\x00")
	if err != nil || len(b) == 0 {
		return "[" + p.Comm + "]"
	}
	return string(bytes.ReplaceAll(b, []byte{0}, []byte{' '}))
}

// Exe returns the path of the executable as the kernel names it, seen from the process's own
// root, with " (deleted)" behind it where the file is gone.
func (p *Process) Exe() (string, error) {
	return os.Readlink(p.path("exe"))
}

// Threads lists the thread ids, in this program's PID namespace, in no particular order.
func (p *Process) Threads() ([]int, error) {
	return numbers(p.path("task"))
}

// ThreadName returns the name that a thread of the process has in the kernel, 15 bytes at most.
func (p *Process) ThreadName(tid int) (string, error) {
	b, err := p.readFile(filepath.Join("task", strconv.Itoa(tid), "comm"), 64)
	if err != nil {
		return "", fmt.Errorf("name of thread %d: %w", tid, err)
	}
	return strings.TrimSuffix(string(b), "\n"), nil
}

// InnerTID returns the id that a thread has in the process's own PID namespace. It is the
// thread's id itself outside containers. The main thread's tid is the pid.
func (p *Process) InnerTID(tid int) (int, error) {
	b, err := p.readFile(filepath.Join("task", strconv.Itoa(tid), "status"), 1<<14)
	if err != nil {
		return 0, fmt.Errorf("inner id of thread %d: %w", tid, err)
	}
	return parseNSpid(b)
}

// parseNSpid returns the last, innermost, number of the NSpid line of a status file.
func parseNSpid(status []byte) (int, error) {
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte("NSpid:")); ok {
			if f := bytes.Fields(rest); len(f) > 0 {
				return strconv.Atoi(string(f[len(f)-1]))
			}
		}
	}
	return 0, errors.New("status has no NSpid")
}

// Scan lists the processes there are, in ascending order of pid.
func Scan() ([]int, error) {
	pids, err := numbers("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	slices.Sort(pids)
	return pids, nil
}

// Exists reports whether there is a process of that pid now, a zombie included.
func Exists(pid int) bool {
	_, err := Open(pid)
	return err == nil
}

// Runs reports whether there is a process of that pid now that runs a program: no zombie.
func Runs(pid int) bool {
	p, err := Open(pid)
	if err != nil {
		return false
	}
	_, err = p.Exe() // a zombie has none
	return !errors.Is(err, os.ErrNotExist)
}

// Descendants lists the children of pids, their children and so on, in ascending order of pid
// and without pids themselves. Processes that appear meanwhile may be missed.
func Descendants(pids []int) ([]int, error) {
	all, err := Scan()
	if err != nil {
		return nil, err
	}
	children := make(map[int][]int)
	for _, pid := range all {
		if p, err := Open(pid); err == nil { // else it has just ended
			children[p.PPID] = append(children[p.PPID], pid)
		}
	}
	seen := make(map[int]bool)
	for _, pid := range pids {
		seen[pid] = true
	}
	var out []int
	for queue := slices.Clone(pids); len(queue) > 0; queue = queue[1:] {
		for _, pid := range children[queue[0]] {
			if !seen[pid] { // pids that were used again meanwhile could make a circle
				seen[pid] = true
				out = append(out, pid)
				queue = append(queue, pid)
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

// numbers lists the entries of a directory of /proc that are numbers.
func numbers(dir string) ([]int, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	out := make([]int, 0, len(names))
	for _, name := range names {
		if n, err := strconv.Atoi(name); err == nil {
			out = append(out, n)
		}
	}
	return out, nil
}

// Silent reports whether the process's memory is not read at present because it does not answer.
func (p *Process) Silent() bool { return p.memory.silent() }

// GivenUp returns how often its memory and its files were given up because they did not answer.
func (p *Process) GivenUp() (memory, files int64) {
	return p.memory.givenUp.Load(), p.files.givenUp.Load()
}

// readFile reads the first limit bytes of a file in the process's directory of /proc. Much of what stands there the kernel
// takes from the process's memory, or waits for it.
func (p *Process) readFile(name string, limit int64) ([]byte, error) {
	return ask(p.memory, func() ([]byte, error) { return readFile(p.path(name), limit) })
}

func (p *Process) path(name string) string {
	return "/proc/" + strconv.Itoa(p.livingThread()) + "/" + name
}

// livingThread returns the thread by which the process is reached.
func (p *Process) livingThread() int {
	if p.through == nil { // not made by Open
		return p.PID
	}
	return int(p.through.Load())
}

func (p *Process) threadPath(tid int, name string) string {
	return "/proc/" + strconv.Itoa(p.PID) + "/task/" + strconv.Itoa(tid) + "/" + name
}

// readFile reads the first limit bytes of a file of /proc. An os.File would first be offered to the
// runtime's poller, which takes as many system calls as the reading.
func readFile(path string, limit int64) ([]byte, error) {
	fd, err := ignoringEINTR(func() (int, error) { return unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var room [16 << 10]byte // large enough for most: stat does not tell the size
	b := room[:0]
	for int64(len(b)) < limit {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		free := b[len(b):min(int64(cap(b)), limit)]
		n, err := ignoringEINTR(func() (int, error) { return unix.Read(fd, free) })
		if err != nil {
			return bytes.Clone(b), &os.PathError{Op: "read", Path: path, Err: err}
		}
		if n == 0 {
			break
		}
		b = b[:len(b)+n]
	}
	if len(b) > len(room) { // it is elsewhere, and may be large
		return b, nil
	}
	return bytes.Clone(b), nil
}

func ignoringEINTR(call func() (int, error)) (n int, err error) {
	for {
		if n, err = call(); err != unix.EINTR {
			return n, err
		}
	}
}
