// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

// Error says what this host lacks, why that matters and what to do, in one line.
type Error struct {
	What string // what could not be done
	Why  string
	Do   string // what the user can do about it
	Err  error  // the cause, if there is one
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s; %s", e.What, e.Why, e.Do) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// what could not be done, in most errors.
const what = "cannot watch this host"

// The oldest kernel there is support for.
const minMajor, minMinor = 5, 10

// A Requirement is something without which nothing can be watched on a host.
type Requirement struct {
	Name  string
	Found string // what there is
	Err   *Error // nil where that is enough
}

// Requirements looks at all of them, in the order in which they are worth mending.
func Requirements() []Requirement {
	out := make([]Requirement, 0, len(requirements))
	for _, r := range requirements {
		found, err := r.check()
		out = append(out, Requirement{r.name, found, err})
	}
	return out
}

var requirements = []struct {
	name  string
	check func() (found string, err *Error)
}{
	{"kernel", checkKernel}, {"PID namespace", checkNamespace}, {"privileges", checkPrivileges}, {"BTF", checkBTF},
}

// Check finds out what is missing before the kernel says it in its own words.
func Check() error {
	for _, r := range requirements {
		if _, err := r.check(); err != nil {
			return err
		}
	}
	return nil
}

func checkKernel() (string, *Error) {
	release := KernelRelease()
	if OlderThan(release, minMajor, minMinor) {
		return release, &Error{What: what, Why: fmt.Sprintf("kernel %s is older than %d.%d", release, minMajor, minMinor),
			Do: "boot a newer kernel"}
	}
	return release, nil
}

const kernelBTF = "/sys/kernel/btf/vmlinux"

func checkBTF() (string, *Error) {
	f, err := os.Open(kernelBTF) // reading all of it takes long, and is done once, for loading
	if err != nil {
		return "none", &Error{What: what, Why: "this kernel carries no BTF type information (" + kernelBTF + ")",
			Do: "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y, as those of current distributions are", Err: err}
	}
	_ = f.Close()
	return kernelBTF, nil
}

// Inodes of the namespaces a host begins with: PROC_PID_INIT_INO and PROC_USER_INIT_INO of
// include/linux/proc_ns.h.
const (
	initialPIDs  = 0xeffffffc
	initialUsers = 0xeffffffd
)

// checkNamespace sees that the process ids of /proc are those the kernel's programs see.
func checkNamespace() (string, *Error) {
	if other("pid", initialPIDs) {
		return "one of its own, as in a container", &Error{What: what,
			Why: "loopwatch runs in a PID namespace, where processes have other numbers than the kernel tells",
			Do:  "run it on the host, from where containers are seen too, or its container with --pid=host --privileged"}
	}
	return "the host's", nil
}

// other reports whether this process is known to be in another namespace than the initial one.
func other(kind string, initial uint64) bool {
	var st unix.Stat_t
	return unix.Stat("/proc/self/ns/"+kind, &st) == nil && st.Ino != initial
}

// KernelRelease returns what uname calls the release, such as "6.1.0-13-amd64".
func KernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "" // cannot fail
	}
	return unix.ByteSliceToString(u.Release[:])
}

// OlderThan reports whether a release is older than major.minor; it is false where the release cannot be parsed.
func OlderThan(release string, major, minor int) bool {
	a, b, ok := kernelVersion(release)
	return ok && (a < major || a == major && b < minor)
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

// Explain turns a failure to load or attach by a hook into what a user can act on.
func Explain(h Hook, err error) *Error {
	e := &Error{What: what, Why: firstLine(err), Do: "please report it with the output of loopwatch doctor", Err: err}
	switch h {
	case Fentry:
		e.What, e.Do = "cannot attach by fentry", "leave out --attach, or use --attach tracepoint"
	case Uprobes:
		e.What, e.Do = "cannot use the interpreters' own probes", "nothing: collections and imports are told by samples instead"
	}
	paranoid := perfParanoid()
	switch {
	case h == Tracepoint && Tracefs() != nil:
		return Tracefs()
	case errors.Is(err, unix.EACCES) && paranoid > 2 && !errors.As(err, new(*ebpf.VerifierError)):
		e.What, e.Why = what, fmt.Sprintf("the kernel refuses perf events to this user (kernel.perf_event_paranoid is %d)", paranoid)
		e.Do = "run loopwatch as root, add the capability CAP_SYS_ADMIN, or run: sysctl kernel.perf_event_paranoid=2"
	case h == Fentry && errors.Is(err, unix.EPERM):
		e.Why = "the kernel refuses it (lockdown in integrity mode does)"
		if mode := Lockdown(); mode != "" {
			e.Why = "the kernel refuses it (its lockdown is: " + mode + ")"
		}
	case h == Fentry, h == Uprobes:
	case errors.Is(err, unix.EPERM):
		e.Why = "the kernel refuses to load BPF programs (" + firstLine(err) + ")"
		e.Do = "run as root outside of containers, and see whether kernel lockdown is in confidentiality mode"
	case errors.Is(err, unix.ENOMEM):
		e.Why, e.Do = "no memory for the maps", "raise the memory limit of this cgroup"
	}
	return e
}

// firstLine leaves out what the verifier has to say at length.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// TracefsDirs returns where tracefs may be mounted.
func TracefsDirs() []string { return []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"} }

// Tracefs says why the tracepoints cannot be found, nil where they can.
func Tracefs() *Error {
	var hidden error
	for _, dir := range TracefsDirs() {
		_, err := os.Stat(dir + "/events/syscalls")
		switch {
		case err == nil:
			return nil
		case errors.Is(err, fs.ErrPermission):
			hidden = err
		}
	}
	if hidden != nil {
		return &Error{What: what, Why: "tracefs is closed to this user",
			Do: "run loopwatch as root, or add the capability CAP_DAC_READ_SEARCH", Err: hidden}
	}
	return &Error{What: what, Why: "tracefs is not mounted at /sys/kernel/tracing",
		Do: "run: mount -t tracefs tracefs /sys/kernel/tracing"}
}

// Memlock lifts the limit on locked memory, which maps count against before 5.11, for the rest of
// this process. The error says that it is not needed to hold, but may be why loading fails.
func Memlock() (found string, _ *Error) {
	if !OlderThan(KernelRelease(), 5, 11) {
		return "maps do not count against the limit since 5.11", nil
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		return "limited", &Error{What: what, Why: "the limit on locked memory is too low for the maps and cannot be raised",
			Do: "run with the capability CAP_SYS_RESOURCE, or raise it (ulimit -l unlimited)", Err: err}
	}
	return "the limit could be lifted", nil
}

// perfParanoid returns kernel.perf_event_paranoid, 0 where it is not known. Up to 2, CAP_PERFMON is
// exempt. Debian's kernels know a higher value, which is their default, and then ask for CAP_SYS_ADMIN.
func perfParanoid() int {
	text, _ := os.ReadFile("/proc/sys/kernel/perf_event_paranoid")
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return n
}

// Lockdown returns the mode of kernel lockdown: "none", "integrity" or "confidentiality"; "" where
// it is not known. Where securityfs is not mounted, it is for this look alone, attached nowhere.
func Lockdown() string {
	b, err := os.ReadFile("/sys/kernel/security/lockdown")
	if err != nil {
		b = unmountedLockdown()
	}
	_, after, _ := strings.Cut(string(b), "[") // "none [integrity] confidentiality"
	mode, _, _ := strings.Cut(after, "]")
	return mode
}

func unmountedLockdown() []byte {
	fsfd, err := unix.Fsopen("securityfs", unix.FSOPEN_CLOEXEC) // 5.2, CAP_SYS_ADMIN
	if err != nil {
		return nil
	}
	defer unix.Close(fsfd)
	if unix.FsconfigCreate(fsfd) != nil {
		return nil
	}
	mount, err := unix.Fsmount(fsfd, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		return nil
	}
	defer unix.Close(mount)
	fd, err := unix.Openat(mount, "lockdown", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	b := make([]byte, 64)
	n, _ := unix.Read(fd, b)
	return b[:max(n, 0)]
}
