// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

//go:embed programs/*.py
var pythonPrograms embed.FS

// task is a child process: a role of this program, or a Python program. It ends with its stdin.
type task struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	lines  *bufio.Reader
	asker  io.Writer
	stderr strings.Builder
	first  string // the first line it printed
}

// anyCPU leaves the choice of CPU to the kernel.
const anyCPU = -1

// startRole starts this program in a role, on one CPU, and waits until it is ready.
func startRole(cpu int, role string, args ...string) (*task, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(exe)
	cmd.Args = append([]string{rolePrefix + role}, args...)
	t, err := launch(cpu, cmd)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", role, err)
	}
	return t, nil
}

// startPython starts one of the programs and waits for its first line. The program is fed on
// the command line, so that nothing has to be written to disk.
func (b *bench) startPython(cpu int, program string, args ...string) (*task, error) {
	t, err := b.spawnPython(cpu, program, args...)
	if err != nil {
		return nil, err
	}
	if err := t.await(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	return t, nil
}

// spawnPython does not wait for the first line: await does.
func (b *bench) spawnPython(cpu int, program string, args ...string) (*task, error) {
	source, err := pythonPrograms.ReadFile("programs/" + program)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(b.python, append([]string{"-I", "-c", string(source)}, args...)...)
	t, err := spawn(cpu, cmd)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	return t, nil
}

func (b *bench) pythonVersion() (string, error) {
	out, err := exec.Command(b.python, "-I", "-c", "import platform; print(platform.python_version())").Output()
	if err != nil {
		return "", fmt.Errorf("run %s: %w; name an interpreter with -python", b.python, err)
	}
	return strings.TrimSpace(string(out)), nil
}

func launch(cpu int, cmd *exec.Cmd) (*task, error) {
	t, err := spawn(cpu, cmd)
	if err != nil {
		return nil, err
	}
	return t, t.await()
}

// spawn starts cmd on one CPU.
func spawn(cpu int, cmd *exec.Cmd) (*task, error) {
	t := &task{cmd: cmd}
	cmd.Stderr = &t.stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	t.stdin, t.asker, t.lines = in, in, bufio.NewReader(out)
	if cpu == anyCPU {
		return t, cmd.Start()
	}
	return t, onCPU(cpu, cmd.Start)
}

// await waits for the first line.
func (t *task) await() (err error) {
	if t.first, err = t.line(); err != nil {
		t.stop()
		if said := strings.TrimSpace(t.stderr.String()); said != "" {
			return errors.New(said)
		}
	}
	return err
}

func (t *task) pid() int { return t.cmd.Process.Pid }

// line returns the next line the task prints.
func (t *task) line() (string, error) {
	line, err := t.lines.ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err
}

// ask sends an empty line and scans the answer into to.
func (t *task) ask(to ...any) error {
	if _, err := io.WriteString(t.asker, "\n"); err != nil {
		return err
	}
	line, err := t.line()
	if err != nil {
		return fmt.Errorf("answer of %s: %w %s", t.cmd.Args[0], err, t.stderr.String())
	}
	_, err = fmt.Sscan(line, to...)
	return err
}

// stop ends the task and returns what else it printed.
func (t *task) stop() string {
	_ = t.stdin.Close()
	timer := time.AfterFunc(10*time.Second, func() { _ = t.cmd.Process.Kill() })
	defer timer.Stop()
	rest, _ := io.ReadAll(t.lines)
	_ = t.cmd.Wait() // it may have been killed, or ended by the end of its stdin
	return string(rest)
}

// onCPU calls f on a thread bound to one CPU and ahead of everything else there, which
// processes started by f inherit: what else goes on disturbs them less.
func onCPU(cpu int, f func() error) error {
	const first = -19
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("read CPU affinity: %w", err)
	}
	one.Set(cpu)
	err := errors.Join(unix.SchedSetaffinity(0, &one), unix.Setpriority(unix.PRIO_PROCESS, 0, first))
	if err != nil {
		err = fmt.Errorf("bind to CPU %d: %w", cpu, err)
	} else {
		err = f()
	}
	return errors.Join(err, unix.SchedSetaffinity(0, &before), unix.Setpriority(unix.PRIO_PROCESS, 0, 0))
}

// allowedCPUs lists the CPUs this process may run on.
func allowedCPUs() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("read CPU affinity: %w", err)
	}
	var cpus []int
	for cpu := range 8 * int(unsafe.Sizeof(set)) {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

// places returns the CPU of what is measured and that of everything else. They differ where
// there is more than one.
func places() (measured, others int, err error) {
	cpus, err := allowedCPUs()
	if err != nil {
		return 0, 0, err
	}
	return cpus[0], cpus[len(cpus)-1], nil
}

// cpuTime returns the CPU time of a process in nanoseconds, exact to the moment: the clock
// brings a running thread's account up to date, which schedstat does not.
func cpuTime(pid int) (int64, error) {
	const schedClock = 2 // CPUCLOCK_SCHED, include/linux/posix-timers.h (Linux 5.10)
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|schedClock, &t); err != nil {
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	return t.Nano(), nil
}

// residentBytes returns the present and the largest resident memory of a process.
func residentBytes(pid int) (now, peak int64, err error) {
	now, err = fieldOf(fmt.Sprintf("/proc/%d/status", pid), "VmRSS:")
	if err != nil {
		return 0, 0, err
	}
	peak, err = fieldOf(fmt.Sprintf("/proc/%d/status", pid), "VmHWM:")
	return now << 10, peak << 10, err
}

// fieldOf returns the number behind a name in a file of /proc.
func fieldOf(path, name string) (int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			var n int64
			_, err := fmt.Sscan(rest, &n)
			return n, err
		}
	}
	return 0, fmt.Errorf("%s: no %s", path, name)
}
