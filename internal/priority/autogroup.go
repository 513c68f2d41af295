// SPDX-License-Identifier: Apache-2.0

package priority

import (
	"os"
	"slices"
	"strconv"
	"strings"
)

// sessionsShare reports whether the kernel shares the CPU among sessions, each with a niceness of its
// own, before that of threads counts.
func sessionsShare() bool {
	enabled, err := os.ReadFile("/proc/sys/kernel/sched_autogroup_enabled")
	if err != nil || strings.TrimSpace(string(enabled)) != "1" {
		return false
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return true
	}
	root, _ := os.ReadFile("/sys/fs/cgroup/cgroup.subtree_control") // absent with cgroup v1
	return inRootGroup(string(groups), string(root))
}

// inRootGroup reports whether a process is in no cgroup that has a share of the CPU: only there do
// sessions share it. It is given /proc/PID/cgroup and the controllers that are on below the root of v2.
func inRootGroup(groups, below string) bool {
	unified := ""
	for line := range strings.Lines(groups) {
		id, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		controllers, path, _ := strings.Cut(rest, ":")
		switch {
		case slices.Contains(strings.Split(controllers, ","), "cpu"):
			return path == "/"
		case id == "0":
			unified = path
		}
	}
	return unified == "/" || !slices.Contains(strings.Fields(below), "cpu")
}

// setAutogroup gives the session of a process a niceness. A session begun before the kernel knew
// autogroups has none: its file is empty.
func setAutogroup(pid, nice int) error {
	file := "/proc/" + strconv.Itoa(pid) + "/autogroup"
	text, err := os.ReadFile(file)
	if err != nil || len(text) == 0 {
		return err
	}
	if has, ok := autogroupNice(string(text)); ok && has == nice {
		return nil // to write takes locks of the whole scheduler
	}
	return os.WriteFile(file, []byte(strconv.Itoa(nice)), 0)
}

// autogroupNice finds the niceness in "/autogroup-12 nice 0".
func autogroupNice(text string) (int, bool) {
	_, number, _ := strings.Cut(text, " nice ")
	nice, err := strconv.Atoi(strings.TrimSpace(number))
	return nice, err == nil
}
