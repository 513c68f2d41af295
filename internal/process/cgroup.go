// SPDX-License-Identifier: Apache-2.0

package process

import (
	"fmt"
	"strings"
)

// containerIDLen is the length of the ids that docker, containerd, CRI-O and podman give, and
// shortIDLen what their tools print of it.
const (
	containerIDLen = 64
	shortIDLen     = 12
)

// Cgroup returns the container a process runs in, as the first 12 digits of its id, and the
// systemd unit; either is "" where there is none.
func (p *Process) Cgroup() (container, unit string, err error) {
	b, err := p.readFile("cgroup", 1<<16)
	if err != nil {
		return "", "", fmt.Errorf("read control groups of process %d: %w", p.PID, err)
	}
	container, unit = parseCgroup(string(b))
	return container, unit, nil
}

// parseCgroup looks through lines of "id:controllers:/path", one in version 2, one for each
// hierarchy in version 1. Any of them may name the container; in version 1 only the hierarchy
// that systemd keeps for itself is sure to name the unit, so that one wins.
func parseCgroup(text string) (container, unit string) {
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		c, u := parseCgroupPath(parts[2])
		if c != "" {
			container = c
		}
		if u != "" && (unit == "" || parts[1] == "name=systemd" || parts[1] == "") {
			unit = u
		}
	}
	return container, unit
}

// parseCgroupPath takes the innermost container and the innermost unit that is not merely the
// scope made for a container.
func parseCgroupPath(path string) (container, unit string) {
	for part := range strings.SplitSeq(path, "/") {
		switch id := containerID(part); {
		case id != "":
			container = id[:shortIDLen]
		case strings.HasSuffix(part, ".service"), strings.HasSuffix(part, ".scope"):
			unit = part
		}
	}
	return container, unit
}

// containerID returns the id in one element of a path: "ID" (docker's and containerd's own
// groups), "docker-ID.scope", "cri-containerd-ID.scope", "crio-ID.scope", "libpod-ID.scope",
// "libpod-payload-ID" (podman).
func containerID(part string) string {
	id := strings.TrimSuffix(part, ".scope")
	id = id[strings.LastIndexAny(id, "-:")+1:] // containerd without systemd: "slice:cri-containerd:ID"
	if len(id) != containerIDLen || strings.Trim(id, "0123456789abcdef") != "" {
		return ""
	}
	return id
}
