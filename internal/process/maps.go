// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Bounds of /proc/PID/maps. Kernels allow 65,530 mappings unless told otherwise.
const (
	maxMaps     = 1 << 18
	maxMapsSize = 1 << 26
)

// Mapping is one line of /proc/PID/maps.
type Mapping struct {
	Start, End uint64
	Perms      string // "r-xp"
	Offset     uint64 // into the file, bytes
	Major      uint32 // device of the file
	Minor      uint32
	Inode      uint64
	// Path is what the kernel prints: a path seen from the process's own root, perhaps with
	// " (deleted)" behind it, or a name in brackets, or nothing. For display and as a hint;
	// OpenMapping gets at the file without it.
	Path string
}

// Executable reports whether code can run there.
func (m Mapping) Executable() bool { return len(m.Perms) == 4 && m.Perms[2] == 'x' }

// File tells which file is mapped.
func (m Mapping) File() FileID { return FileID{m.Major, m.Minor, m.Inode} }

// Contains reports whether addr lies in the mapping.
func (m Mapping) Contains(addr uint64) bool { return addr >= m.Start && addr < m.End }

// Name returns the last element of the path, without " (deleted)".
func (m Mapping) Name() string {
	path := strings.TrimSuffix(m.Path, " (deleted)")
	return path[strings.LastIndexByte(path, '/')+1:]
}

// FileID names a file by device and inode, as /proc/PID/maps shows them. The zero value means
// that no file is mapped.
type FileID struct {
	Major, Minor uint32
	Inode        uint64
}

// Maps returns the mappings in ascending order of address. Kernel threads and zombies have
// none. A process with more than 262,144 of them is refused.
func (p *Process) Maps() ([]Mapping, error) {
	b, err := p.readFile("maps", maxMapsSize+1)
	if err != nil {
		return nil, fmt.Errorf("read mappings of process %d: %w", p.PID, err)
	}
	maps, err := parseMaps(b)
	if err != nil {
		return nil, fmt.Errorf("read mappings of process %d: %w", p.PID, err)
	}
	return maps, nil
}

func parseMaps(b []byte) ([]Mapping, error) {
	lines := bytes.Count(b, []byte{'\n'})
	if len(b) > maxMapsSize || lines > maxMaps {
		return nil, errors.New("too many mappings")
	}
	text := string(b) // one allocation that all the lines share
	out := make([]Mapping, 0, lines)
	for line := range strings.Lines(text) {
		m, err := parseMapping(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// parseMapping reads "start-end perms offset major:minor inode    path".
func parseMapping(line string) (m Mapping, err error) {
	bad := func(what string) (Mapping, error) {
		return Mapping{}, fmt.Errorf("mapping %q has no %s", line, what)
	}
	rest := line
	next := func() (field string) {
		field, rest, _ = strings.Cut(rest, " ")
		return field
	}
	start, end, _ := strings.Cut(next(), "-")
	if m.Start, err = strconv.ParseUint(start, 16, 64); err != nil {
		return bad("start")
	}
	if m.End, err = strconv.ParseUint(end, 16, 64); err != nil || m.End < m.Start {
		return bad("end")
	}
	if m.Perms = next(); len(m.Perms) != 4 {
		return bad("permissions")
	}
	if m.Offset, err = strconv.ParseUint(next(), 16, 64); err != nil {
		return bad("offset")
	}
	major, minor, _ := strings.Cut(next(), ":")
	ma, err1 := strconv.ParseUint(major, 16, 32)
	mi, err2 := strconv.ParseUint(minor, 16, 32)
	if err1 != nil || err2 != nil {
		return bad("device")
	}
	m.Major, m.Minor = uint32(ma), uint32(mi)
	if m.Inode, err = strconv.ParseUint(next(), 10, 64); err != nil {
		return bad("inode")
	}
	m.Path = strings.TrimLeft(rest, " ")
	return m, nil
}
