// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// HostError says what this host lacks, why that matters and what to do, in one line.
type HostError struct {
	What string // what could not be done
	Why  string
	Do   string // what the user can do about it
	Err  error  // the cause, if there is one
}

func (e *HostError) Error() string { return fmt.Sprintf("%s: %s; %s", e.What, e.Why, e.Do) }

// Unwrap returns the cause.
func (e *HostError) Unwrap() error { return e.Err }

const what = "cannot watch this host"

// The oldest kernel there is support for.
const minMajor, minMinor = 5, 10

// checkHost finds out what is missing before the kernel says it in its own words.
func checkHost() error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return fmt.Errorf("uname: %w", err)
	}
	release := unix.ByteSliceToString(u.Release[:])
	if major, minor, ok := kernelVersion(release); ok && (major < minMajor || major == minMajor && minor < minMinor) {
		return &HostError{What: what, Why: fmt.Sprintf("kernel %s is older than %d.%d", release, minMajor, minMinor),
			Do: "boot a newer kernel"}
	}
	if !inFirstPIDNamespace() {
		return &HostError{What: what, Why: "loopwatch runs in a PID namespace, where processes have other numbers than the kernel tells",
			Do: "run it on the host itself, or its container with the host's PID namespace (--pid=host)"}
	}
	if missing := missingCapabilities(); missing != "" {
		return &HostError{What: what, Why: missing + " is missing", Do: "run loopwatch as root (sudo loopwatch …)"}
	}
	if _, err := btf.LoadKernelSpec(); err != nil {
		return &HostError{What: what, Why: "this kernel carries no BTF type information (/sys/kernel/btf/vmlinux)",
			Do: "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y, as those of current distributions are", Err: err}
	}
	return nil
}

// inFirstPIDNamespace tells whether process numbers here are those of the kernel. The first PID
// namespace has a fixed number: PROC_PID_INIT_INO, include/linux/proc_ns.h.
func inFirstPIDNamespace() bool {
	name, err := os.Readlink("/proc/self/ns/pid")
	return err != nil || name == fmt.Sprintf("pid:[%d]", uint32(0xEFFFFFFC))
}

// kernelVersion parses the first two numbers of a release such as "6.1.0-13-amd64".
func kernelVersion(release string) (major, minor int, ok bool) {
	parts := strings.SplitN(release, ".", 3)
	if len(parts) < 2 {
		return 0, 0, false
	}
	major, err := strconv.Atoi(parts[0])
	if err != nil {
		return 0, 0, false
	}
	digits := parts[1]
	if end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		digits = digits[:end]
	}
	minor, err = strconv.Atoi(digits)
	return major, minor, err == nil
}

// missingCapabilities names what loading tracing programs and reading other processes needs
// and this process has not, or "".
func missingCapabilities() string {
	effective, err := effectiveCapabilities()
	if err != nil || effective&(1<<unix.CAP_SYS_ADMIN) != 0 {
		return ""
	}
	var missing []string
	for _, c := range []struct {
		bit  uint
		name string
	}{{unix.CAP_BPF, "CAP_BPF"}, {unix.CAP_PERFMON, "CAP_PERFMON"}, {unix.CAP_SYS_PTRACE, "CAP_SYS_PTRACE"}} {
		if effective&(1<<c.bit) == 0 {
			missing = append(missing, c.name)
		}
	}
	return strings.Join(missing, ", ")
}

func effectiveCapabilities() (uint64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.SplitSeq(string(status), "\n") {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			return strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
		}
	}
	return 0, errors.New("no CapEff in /proc/self/status")
}

// explain turns a failure to load or attach into what a user can act on.
func explain(mode string, err error) error {
	switch {
	case mode == AttachTracepoint && !tracefsMounted():
		return &HostError{What: what, Why: "tracefs is not mounted at /sys/kernel/tracing",
			Do: "run: mount -t tracefs tracefs /sys/kernel/tracing", Err: err}
	case mode == AttachFentry && errors.Is(err, unix.EPERM):
		return &HostError{What: "cannot attach by fentry", Why: "the kernel refuses it (lockdown in integrity mode does)",
			Do: "leave out --attach, or use --attach tracepoint", Err: err}
	case mode == AttachFentry:
		return &HostError{What: "cannot attach by fentry", Why: firstLine(err),
			Do: "leave out --attach, or use --attach tracepoint", Err: err}
	case errors.Is(err, unix.EPERM):
		return &HostError{What: what, Why: "the kernel refuses to load BPF programs (" + firstLine(err) + ")",
			Do: "run as root outside of containers, and see whether kernel lockdown is in confidentiality mode", Err: err}
	case errors.Is(err, unix.ENOMEM):
		return &HostError{What: what, Why: "no memory for the maps", Do: "raise the memory limit of this cgroup", Err: err}
	}
	return &HostError{What: what, Why: firstLine(err), Do: "please report it with the output of uname -r", Err: err}
}

// firstLine leaves out what the verifier has to say at length.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

func tracefsMounted() bool {
	for _, dir := range []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"} {
		if _, err := os.Stat(dir + "/events/syscalls"); err == nil {
			return true
		}
	}
	return false
}
