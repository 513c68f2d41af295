// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/loopwatch/loopwatch/vmtest/job"
)

// Machine is a guest to be booted.
type Machine struct {
	Kernel *Kernel
	Disk   string // ext4 image of the root; left as it is. None, if there is nothing to run
	Init   string // path of the compiled cmd/guestinit
	arch   arch

	Files   map[string]string // brought along: name under /vmtest -> path on the host
	Command []string          // run in the root, in /vmtest; its first word a full path
	Env     []string
	Output  io.Writer // of the command, both streams

	MemoryMiB int           // default 1536
	Clock     Clock         // default HostClock
	ComeUp    time.Duration // from power on until the command starts; default 2 minutes
	Silence   time.Duration // a guest whose command says nothing for so long hangs; default 10 minutes

	CPU time.Duration // after Run: what its boots have taken of the host's CPUs

	// hangs returns why the guest that the process emulates hangs, when it does, or nil when ctx is done
	// before. Tests have their own.
	hangs func(ctx context.Context, pid int, ready func() bool) error
}

// Clock is what time is to a guest.
type Clock int

const (
	// HostClock is the host's time, on two CPUs, each some twenty times slower than it seems.
	HostClock Clock = iota
	// NativeClock is the host's time on two of its own CPUs (KVM).
	NativeClock
	// CountedClock counts the instructions of one CPU, one every four nanoseconds. The time in which it has
	// nothing to do is skipped, unless there is a disk it could be waiting for: then it passes as on the
	// host. A host that is busy makes the guest slow, but nothing in it seems slow.
	CountedClock
	// SkippingClock counts one a nanosecond, and skips the time in which the CPU has nothing to do. What
	// the host does by itself, as reading the disk, seems to take very long.
	SkippingClock
)

// processors returns qemu's options for each.
func (c Clock) processors(a arch) []string {
	idle := "sleep=on"
	if a.memory {
		idle = "sleep=off"
	}
	switch c {
	case NativeClock:
		return []string{"-accel", "kvm", "-cpu", "host", "-smp", "2"}
	case CountedClock:
		return []string{"-accel", "tcg,thread=single", "-cpu", a.emulated, "-smp", "1", "-icount", "shift=2," + idle}
	case SkippingClock:
		return []string{"-accel", "tcg,thread=single", "-cpu", a.emulated, "-smp", "1", "-icount", "shift=0,sleep=off"}
	}
	return []string{"-accel", "tcg,thread=multi", "-cpu", a.emulated, "-smp", "2"}
}

// GuestError says that a guest did not get to the end of its command: it hung, panicked, or
// ran out of memory.
type GuestError struct {
	Why     string
	Booted  bool   // the command was started
	Console string // last lines the kernel said
}

func (e *GuestError) Error() string { return e.Why }

const consoleLines = 50

// Run boots the machine and returns the status of its command. When it returns, or this
// process dies, qemu is gone.
func (m *Machine) Run(ctx context.Context) (status int, err error) {
	dir, err := os.MkdirTemp("", "loopwatch-vm-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	initrd := filepath.Join(dir, "initrd")
	if err := m.writeInitramfs(ctx, initrd); err != nil {
		return 0, fmt.Errorf("make initramfs: %w", err)
	}
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)

	ports := filepath.Join(dir, "status")
	console := filepath.Join(dir, "console")
	p := newPatience(orDefault(m.ComeUp, 2*time.Minute), orDefault(m.Silence, 10*time.Minute))
	hangs := m.hangs
	if hangs == nil {
		hangs = p.hangs
	}
	err = m.qemu(ctx, initrd, console, ports, p.listen(m.Output), func(pid int) {
		if why := hangs(ctx, pid, func() bool { ready, _ := readStatus(ports); return ready }); why != nil {
			giveUp(why)
		}
	})
	ready, code := readStatus(ports)
	if code >= 0 {
		return code, nil
	}
	why := "guest ended before its command did"
	switch {
	case ctx.Err() != nil:
		why = context.Cause(ctx).Error()
	case err != nil:
		why = err.Error()
	}
	return 0, &GuestError{Why: why, Booted: ready, Console: lastLines(console, consoleLines)}
}

// Boot runs the machine, once more where it did not come up: emulated kernels crash now and then while they
// boot. What has begun is never repeated. Where it ends before its time, its console's last lines are
// shown on progress.
func (m *Machine) Boot(ctx context.Context, name string, progress io.Writer) (int, error) {
	status, err := m.Run(ctx)
	var guest *GuestError
	if errors.As(err, &guest) && !guest.Booted && ctx.Err() == nil {
		fmt.Fprintf(progress, "==> %s: %v; booting once more\n", name, err)
		status, err = m.Run(ctx)
	}
	if errors.As(err, &guest) && ctx.Err() == nil {
		fmt.Fprintf(progress, "==> %s: %v; the last lines of its console:\n%s\n", name, err, guest.Console)
	}
	return status, err
}

func orDefault(d, or time.Duration) time.Duration {
	if d == 0 {
		return or
	}
	return d
}

// qemu runs it to its end, and watch beside it, which is told its process and has ctx to end by.
func (m *Machine) qemu(ctx context.Context, initrd, console, ports string, output io.Writer, watch func(pid int)) error {
	memory := m.MemoryMiB
	if memory == 0 {
		memory = 1536
	}
	args := []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-kernel", m.Kernel.Image, "-initrd", initrd,
		"-append", "console=" + m.arch.console + " panic=-1 mitigations=off transparent_hugepage=never",
		"-chardev", "file,id=console,path=" + console, "-serial", "chardev:console",
		"-chardev", "stdio,id=output,signal=off",
		"-chardev", "file,id=status,path=" + ports,
	}
	args = slices.Concat(args, m.arch.machine, m.arch.ports, m.Clock.processors(m.arch))
	switch {
	case m.Disk == "":
		args = append(args, "-m", strconv.Itoa(memory))
	case !m.arch.memory:
		args = append(args, "-m", strconv.Itoa(memory),
			"-drive", "if=none,id=root,format=raw,snapshot=on,file="+m.Disk, "-device", "virtio-blk-pci,drive=root")
	default:
		info, err := os.Stat(m.Disk)
		if err != nil {
			return err
		}
		// Memory that keeps its content, so there is no disk to wait for: where the clock counts
		// instructions, that would take no time or all the time there is. What the guest writes is its own.
		args = append(args, "-m", fmt.Sprintf("%dM,slots=1,maxmem=%dM", memory, memory+int(info.Size()>>20)+1024),
			"-object", fmt.Sprintf("memory-backend-file,id=root,mem-path=%s,size=%d,share=off", m.Disk, info.Size()),
			"-device", "nvdimm,memdev=root")
	}
	var complaints bytes.Buffer
	cmd := exec.CommandContext(ctx, m.arch.emulator, args...)
	cmd.Stdout, cmd.Stderr = output, &complaints
	// A session of its own: Ctrl-C is for this process, and the scheduler shares CPUs out among sessions.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 5 * time.Second

	// Pdeathsig is sent when the thread that started the child ends, so it has to stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Start()
	if err == nil {
		go watch(cmd.Process.Pid)
		err = cmd.Wait()
	}
	if end := cmd.ProcessState; end != nil {
		m.CPU += end.UserTime() + end.SystemTime()
	}
	if err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return fmt.Errorf("%s is not installed; run: apt-get install %s", m.arch.emulator, m.arch.pkg)
		}
		return fmt.Errorf("qemu: %w: %s", err, strings.TrimSpace(complaints.String()))
	}
	return nil
}

// guestModules are loaded where they are not built in, beside those of the architecture: for the root's file
// system, and for what tests mount.
var guestModules = []string{"ext4", "fuse", "loop"}

func (m *Machine) writeInitramfs(ctx context.Context, file string) error {
	modules, err := loadOrder(ctx, m.Kernel.Modules, slices.Concat(m.arch.modules, guestModules)...)
	if err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	a := newInitramfs(f)
	j := job.Job{Ports: m.arch.jobPorts, Disk: m.arch.disk, Command: m.Command, Env: m.Env}
	for _, module := range modules {
		name := module.name + ".ko"
		j.Modules = append(j.Modules, name)
		a.file(path.Join(job.ModulesDir, name), 0o644, module.content)
	}
	description, err := json.Marshal(j)
	if err != nil {
		return err
	}
	a.file(job.Path, 0o644, description)
	a.dir(job.Payload)
	a.dir("/dev") // the kernel wants it for the console
	if err := addFile(a, "/init", m.Init); err != nil {
		return err
	}
	for name, from := range m.Files {
		if err := addFile(a, path.Join(job.Payload, path.Clean("/"+name)), from); err != nil {
			return err
		}
	}
	return errors.Join(a.close(), f.Close())
}

func addFile(a *initramfs, name, from string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	a.file(name, uint32(info.Mode().Perm()), content)
	return nil
}

// readStatus returns what the guest has said so far; code is negative until its command ended.
func readStatus(file string) (ready bool, code int) {
	content, _ := os.ReadFile(file) // not there yet: nothing said
	code = -1
	for line := range strings.Lines(string(content)) {
		line, whole := strings.CutSuffix(line, "\n")
		if text, ok := strings.CutPrefix(line, job.Exit); ok && whole {
			if n, err := strconv.Atoi(text); err == nil {
				code = n
			}
		}
		ready = ready || line == job.Ready
	}
	return ready, code
}

func lastLines(file string, n int) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(string(content), "\r", "")), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
