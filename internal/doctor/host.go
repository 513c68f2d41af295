// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/kernelstack"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/probes/host"
)

// capabilityChecks lists the privileges that something is lost without.
func capabilityChecks() (out []Check) {
	all, err := host.Capabilities()
	if err != nil {
		return []Check{{Name: "capabilities", Status: Unknown, Found: err.Error(), Do: "mount /proc"}}
	}
	for _, c := range all {
		if !c.Held && !c.Needed {
			out = append(out, Check{Name: c.Name, Status: Reduced, Found: "missing: " + c.Without, Do: "run loopwatch as root, or give it this capability"})
		}
	}
	return out
}

// options of the kernel's configuration that matter, and what for.
var options = []struct{ name, what string }{
	{"CONFIG_BPF_SYSCALL", "everything"},
	{"CONFIG_BPF_EVENTS", "everything"},
	{"CONFIG_PERF_EVENTS", "everything"},
	{"CONFIG_DEBUG_INFO_BTF", "everything"},
	{"CONFIG_CROSS_MEMORY_ATTACH", "everything"},
	{"CONFIG_BPF_JIT", "fentry"},
	{"CONFIG_FUNCTION_TRACER", "fentry"},
	{"CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS", "fentry"},
	{"CONFIG_FTRACE_SYSCALLS", "tracepoints"},
	{"CONFIG_UPROBE_EVENTS", "the interpreters' own probes"},
	{"CONFIG_KALLSYMS", "causes that only the kernel's stack tells"},
	{"CONFIG_CFS_BANDWIDTH", "CPU quotas"},
}

// maxConfig bounds the size of a configuration. Distributions' have 300 KiB.
const maxConfig = 16 << 20

// configCheck reads how the kernel was built. It only explains: what works is tried.
func configCheck(release string) Check {
	c := Check{Name: "configuration"}
	const needless = "nothing: what matters is tried below"
	var text io.Reader
	var name string
	for _, name = range []string{"/proc/config.gz", "/boot/config-" + release, "/lib/modules/" + release + "/config"} {
		f, err := os.Open(name)
		if err != nil {
			continue
		}
		defer f.Close()
		if text = f; strings.HasSuffix(name, ".gz") {
			if text, err = gzip.NewReader(f); err != nil {
				continue
			}
		}
		break
	}
	if text == nil {
		c.Status, c.Found, c.Do = Unknown, "in none of the usual places", needless
		return c
	}
	set, err := readConfig(io.LimitReader(text, maxConfig))
	if err != nil {
		c.Status, c.Found, c.Do = Unknown, err.Error(), needless
		return c
	}
	var missing []string
	for _, o := range options {
		if !set[o.name] {
			missing = append(missing, fmt.Sprintf("%s is not set (for %s)", o.name, o.what))
		}
	}
	c.Status, c.Found = OK, name+": all that matters is set"
	if len(missing) > 0 {
		c.Status, c.Found = Reduced, strings.Join(missing, ", ")
		c.Do = "boot a kernel built with it, as those of current distributions are, where a hook below has failed"
	}
	return c
}

// readConfig returns the options that are built in. A module does not do: none of ours can be one.
func readConfig(r io.Reader) (map[string]bool, error) {
	set := map[string]bool{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if name, value, ok := strings.Cut(lines.Text(), "="); ok && value == "y" {
			set[name] = true
		}
	}
	return set, lines.Err()
}

func tracefsCheck(attach string) Check {
	c := Check{Name: "tracefs", Status: OK, Found: "mounted, and open to this user"}
	switch err := host.Tracefs(); {
	case err == nil:
	case attach == probes.AttachFentry:
		c.Found = "not needed: fentry serves"
	default:
		c.Status, c.Found, c.Do = Reduced, err.Why+": no tracepoints", err.Do
	}
	return c
}

func memlockCheck() Check {
	found, err := host.Memlock()
	if err != nil {
		return Check{Name: "locked memory", Status: Reduced, Found: err.Why, Do: err.Do}
	}
	return Check{Name: "locked memory", Status: OK, Found: found}
}

func lockdownCheck() Check {
	c := Check{Name: "lockdown", Status: OK, Found: host.Lockdown()}
	switch c.Found {
	case "":
		c.Status, c.Found, c.Do = Unknown, "cannot be read", "nothing: what it forbids is tried below"
	case "integrity":
		c.Found = "integrity: some kernels refuse fentry in it"
	case "confidentiality":
		c.Found = "confidentiality: no program may read memory"
		c.Status, c.Do = Reduced, "boot with lockdown=integrity, or without Secure Boot"
	}
	return c
}

func symbolsCheck() Check {
	if kernelstack.New().Readable() {
		return Check{Name: "kernel symbols", Status: OK, Found: "/proc/kallsyms"}
	}
	return Check{Name: "kernel symbols", Status: Reduced, Found: "hidden: waits that only the kernel's stack explains have the cause unknown",
		Do: "run loopwatch as root or with CAP_SYSLOG, and with kernel.kptr_restrict at 1 or 0"}
}

// cgroupCheck tells the version, which nothing depends on: the kernel's own statistics are read.
func cgroupCheck() Check {
	c := Check{Name: "control groups", Status: OK}
	var st unix.Statfs_t
	if _, err := os.Stat("/proc/self/cgroup"); err != nil {
		c.Status, c.Found = Reduced, "none: containers and units are not named"
		c.Do = "boot a kernel built with CONFIG_CGROUPS=y"
		return c
	}
	hierarchies, _ := os.ReadFile("/proc/self/cgroup")
	one, two := false, false
	for line := range strings.Lines(string(hierarchies)) {
		if strings.HasPrefix(line, "0::") {
			two = true
		} else {
			one = true
		}
	}
	onTop := unix.Statfs("/sys/fs/cgroup", &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
	switch {
	case onTop || two && !one:
		c.Found = "version 2"
	case one && two:
		c.Found = "version 1, with version 2 beside it"
	default:
		c.Found = "version 1"
	}
	return c
}
