// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Capability is a privilege that loopwatch has a use for.
type Capability struct {
	Name    string
	Needed  bool   // nothing can be watched without
	Held    bool   // it, or another that includes it
	Without string // what is lost without it
	bit     uint
	wider   uint
}

// capabilities in the order of their weight. What is lost was seen by running without.
var capabilities = []Capability{
	{Name: "CAP_BPF", bit: unix.CAP_BPF, wider: unix.CAP_SYS_ADMIN, Needed: true, Without: "no program can be loaded"},
	{Name: "CAP_PERFMON", bit: unix.CAP_PERFMON, wider: unix.CAP_SYS_ADMIN, Needed: true, Without: "no program can be attached"},
	{Name: "CAP_SYS_PTRACE", bit: unix.CAP_SYS_PTRACE, wider: unix.CAP_SYS_PTRACE, Without: "processes of other users are not watched"},
	{Name: "CAP_DAC_READ_SEARCH", bit: unix.CAP_DAC_READ_SEARCH, wider: unix.CAP_DAC_OVERRIDE,
		Without: "interpreters in directories that are closed to this user are not watched"},
	{Name: "CAP_CHECKPOINT_RESTORE", bit: unix.CAP_CHECKPOINT_RESTORE, wider: unix.CAP_SYS_ADMIN,
		Without: "interpreters in a chroot, or whose file was replaced since they started, are not watched"},
}

// Capabilities tells which privileges this process has.
func Capabilities() ([]Capability, error) {
	effective, err := effectiveCapabilities()
	if err != nil {
		return nil, err
	}
	out := slices.Clone(capabilities)
	for i := range out {
		c := &out[i]
		c.Held = effective&(1<<c.bit|1<<c.wider) != 0
	}
	return out, nil
}

// checkPrivileges sees that tracing programs can be loaded.
func checkPrivileges() (string, *Error) {
	who := "root"
	if uid := os.Geteuid(); uid != 0 {
		who = "user " + strconv.Itoa(uid)
	}
	if other("user", initialUsers) {
		return who + " of a user namespace", &Error{What: what,
			Why: "loopwatch runs in a user namespace, whose root has no power over the kernel (a rootless container)",
			Do:  "run it as root of the host, outside of containers"}
	}
	all, err := Capabilities()
	if err != nil {
		return who, nil // the kernel will say
	}
	var missing, held []string
	for _, c := range all {
		switch {
		case c.Held:
			held = append(held, c.Name)
		case c.Needed:
			missing = append(missing, c.Name)
		}
	}
	if who != "root" && len(held) > 0 {
		who += " with " + strings.Join(held, ", ")
	}
	if len(missing) > 0 {
		return who, &Error{What: what, Why: list(missing) + " missing",
			Do: "run loopwatch as root (sudo loopwatch …), or give it these capabilities"}
	}
	return who, nil
}

// list writes "CAP_BPF and CAP_PERFMON are".
func list(names []string) string {
	last := len(names) - 1
	if last == 0 {
		return names[0] + " is"
	}
	return strings.Join(names[:last], ", ") + " and " + names[last] + " are"
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
