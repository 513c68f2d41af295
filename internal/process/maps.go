// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Bounds of /proc/PID/maps. Kernels allow 65,530 mappings unless told otherwise.
const (
	maxMaps     = 1 << 18
	maxMapsSize = 8 << 20 // bytes
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
// none. A process with more than 262,144 of them, or 8 MiB of text about them, is refused.
func (p *Process) Maps() ([]Mapping, error) {
	maps, err := ask(p.memory, func() ([]Mapping, error) {
		fd, err := ignoringEINTR(func() (int, error) { return unix.Open(p.path("maps"), unix.O_RDONLY|unix.O_CLOEXEC, 0) })
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: p.path("maps"), Err: err}
		}
		defer unix.Close(fd)
		return parseMaps(descriptor(fd))
	})
	if err != nil {
		return nil, fmt.Errorf("read mappings of process %d: %w", p.PID, err)
	}
	return maps, nil
}

// descriptor reads from an open file.
type descriptor int

func (d descriptor) Read(p []byte) (int, error) {
	n, err := ignoringEINTR(func() (int, error) { return unix.Read(int(d), p) })
	if err == nil && n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return max(n, 0), err
}

var errTooManyMaps = errors.New("too many mappings")

// parseMaps reads mappings line by line: of all the text no more is kept than each path once.
func parseMaps(from io.Reader) (out []Mapping, err error) {
	limited := &io.LimitedReader{R: from, N: maxMapsSize + 1}
	lines := bufio.NewScanner(limited)
	lines.Buffer(make([]byte, 0, 16<<10), maxMapsSize)
	known := make(map[string]string)
	for lines.Scan() {
		m, err := parseMapping(lines.Text())
		if err != nil {
			return nil, err
		}
		for _, s := range []*string{&m.Perms, &m.Path} {
			own, ok := known[*s]
			if !ok {
				own = strings.Clone(*s)
				known[own] = own
			}
			*s = own
		}
		if out = append(out, m); len(out) > maxMaps {
			return nil, errTooManyMaps
		}
	}
	if limited.N == 0 {
		return nil, errTooManyMaps
	}
	return out, lines.Err()
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
