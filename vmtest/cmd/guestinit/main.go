// SPDX-License-Identifier: Apache-2.0

// Guestinit is the first process of a guest: it loads the modules the disk needs, makes the
// disk its root, mounts what loopwatch needs, runs one command and powers off. package vmtest
// puts it into the initramfs.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/vmtest/job"
)

const newRoot = "/newroot"

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "guestinit: only to be run by vmtest, as the first process of a guest")
		os.Exit(2)
	}
	if err := run(); err != nil {
		fmt.Println("guestinit:", err) // the console, whose end the host shows
	}
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		fmt.Println("guestinit: power off:", err)
	}
	select {}
}

func run() error {
	if err := mountAll("", earlyMounts); err != nil {
		return err
	}
	content, err := os.ReadFile(job.Path)
	if err != nil {
		return err
	}
	var j job.Job
	if err := json.Unmarshal(content, &j); err != nil {
		return fmt.Errorf("read %s: %w", job.Path, err)
	}
	for _, name := range j.Modules {
		if err := loadModule(filepath.Join(job.ModulesDir, name)); err != nil {
			return fmt.Errorf("load module %s: %w", name, err)
		}
	}
	if len(j.Command) == 0 {
		return cameUp(j.Ports)
	}
	if err := enterRoot(j.Disk); err != nil {
		return err
	}
	if err := mountAll("", rootMounts); err != nil {
		return err
	}
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("bring up lo: %w", err)
	}
	return runCommand(j)
}

type mountPoint struct{ source, dir, kind string }

var earlyMounts = []mountPoint{
	{"devtmpfs", "/dev", "devtmpfs"},
	{"proc", "/proc", "proc"},
	{"sysfs", "/sys", "sysfs"},
}

var rootMounts = []mountPoint{
	{"devtmpfs", "/dev", "devtmpfs"},
	{"devpts", "/dev/pts", "devpts"},
	{"tmpfs", "/dev/shm", "tmpfs"},
	{"proc", "/proc", "proc"},
	{"sysfs", "/sys", "sysfs"},
	{"tracefs", "/sys/kernel/tracing", "tracefs"},
	{"bpf", "/sys/fs/bpf", "bpf"},
	{"cgroup2", "/sys/fs/cgroup", "cgroup2"},
	{"tmpfs", "/run", "tmpfs"},
	{"tmpfs", "/tmp", "tmpfs"},
}

func mountAll(under string, points []mountPoint) error {
	for _, m := range points {
		dir := filepath.Join(under, m.dir)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.source, dir, m.kind, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s: %w", dir, err)
		}
	}
	return nil
}

func loadModule(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

// await waits for a device.
func await(path string) error {
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return nil
		} else if time.Since(start) > time.Minute {
			return fmt.Errorf("wait for device: %w", err)
		}
	}
}

// enterRoot makes the disk the root, with the payload in it.
func enterRoot(disk string) error {
	// The disk appears some time after its driver.
	if err := await(disk); err != nil {
		return err
	}
	if err := os.MkdirAll(newRoot, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(disk, newRoot, "ext4", 0, ""); err != nil {
		return fmt.Errorf("mount root: %w", err)
	}
	payload := filepath.Join(newRoot, job.Payload)
	if err := os.MkdirAll(payload, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(job.Payload, payload, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bring payload along: %w", err)
	}
	if err := os.Chdir(newRoot); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move root: %w", err)
	}
	return unix.Chroot(".")
}

// cameUp answers a host that wants to know no more than whether this boots.
func cameUp(ports job.Ports) error {
	status, err := openPort(ports.Status)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(status, "%s\n%s0\n", job.Ready, job.Exit)
	return errors.Join(err, drain(status))
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// runCommand runs the command with its output on a port of its own and reports how it ended.
// Orphans become children of this process and are reaped meanwhile. The output goes through a
// pipe, as a port is a terminal, and what it leaves running does not keep it open for long.
func runCommand(j job.Job) error {
	out, err := openPort(j.Ports.Output)
	if err != nil {
		return err
	}
	status, err := openPort(j.Ports.Status)
	if err != nil {
		return err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	to, end, err := relay(out)
	if err != nil {
		return err
	}
	fmt.Fprintln(status, job.Ready)
	env := append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"}, j.Env...)
	attr := &os.ProcAttr{Dir: job.Payload, Env: env, Files: []*os.File{null, to, to}, Sys: &unix.SysProcAttr{Setsid: true}}
	child, err := os.StartProcess(j.Command[0], j.Command, attr)
	if err != nil {
		return fmt.Errorf("start command: %w", err)
	}
	var ws unix.WaitStatus
	for {
		pid, err := unix.Wait4(-1, &ws, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait for command: %w", err)
		}
		if pid == child.Pid {
			break
		}
	}
	code := ws.ExitStatus()
	if ws.Signaled() {
		code = 128 + int(ws.Signal())
	}
	if err := end(); err != nil {
		return fmt.Errorf("pass output on: %w", err)
	}
	_, err = fmt.Fprintf(status, "%s%d\n", job.Exit, code)
	// What is still in a port's buffer is lost when the power goes.
	return errors.Join(err, drain(out), drain(status))
}

// openPort opens a port that passes bytes on as they are.
func openPort(path string) (*os.File, error) {
	// A virtual one appears some time after its driver.
	if err := await(path); err != nil {
		return nil, err
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if errors.Is(err, unix.ENOTTY) {
		return os.NewFile(uintptr(fd), path), nil
	}
	if err != nil {
		return nil, fmt.Errorf("settings of %s: %w", path, err)
	}
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ICANON | unix.ISIG
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, t); err != nil {
		return nil, fmt.Errorf("settings of %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

func drain(port *os.File) error {
	err := unix.IoctlSetInt(int(port.Fd()), unix.TCSBRK, 1) // tcdrain
	if errors.Is(err, unix.ENOTTY) {
		return nil
	}
	return err
}
