// SPDX-License-Identifier: Apache-2.0

// Package vmtest runs programs under real distribution kernels: a row of matrix.txt comes in,
// names a kernel package and a Debian root, and what goes out is a Machine that boots both
// under qemu and brings back a command's output and status. The commands below cmd/ call it;
// nothing of loopwatch itself does.
package vmtest

import (
	"bufio"
	_ "embed"
	"fmt"
	"io"
	"slices"
	"strings"
)

//go:embed matrix.txt
var matrix string

// Row is one line of the matrix.
type Row struct {
	Name         string   // what the user calls it: "6.1"
	Arch         string   // "amd64"; a name is a row's among those of its architecture
	Suite        string   // Debian suite the kernel comes from
	Package      string   // package that depends on the suite's newest kernel
	Root         string   // Debian root to boot into, by its name in the cache
	Interpreters []string // what is in the root to be watched: "python3.11"
	Modes        []string // of Modes; a guest is booted for each
}

// Matrix returns the rows of matrix.txt.
func Matrix() ([]Row, error) { return parseMatrix(strings.NewReader(matrix)) }

// Rows returns the rows of an architecture with the given names, all of them where there are none.
func Rows(arch string, names ...string) ([]Row, error) {
	if _, err := archNamed(arch); err != nil {
		return nil, err
	}
	all, err := Matrix()
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(r Row) bool { return r.Arch != arch })
	if len(names) == 0 {
		return all, nil
	}
	var known []string
	byName := make(map[string]Row)
	for _, row := range all {
		byName[row.Name] = row
		known = append(known, row.Name)
	}
	var rows []Row
	for _, name := range names {
		row, ok := byName[name]
		if !ok {
			return nil, fmt.Errorf("unknown kernel %q; matrix.txt has for %s: %s", name, arch, strings.Join(known, ", "))
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// Kernels leaves out rows whose kernel and root an earlier one has: they differ in their tests alone.
func Kernels(rows []Row) []Row {
	seen := make(map[string]bool)
	return slices.DeleteFunc(slices.Clone(rows), func(r Row) bool {
		key := r.Suite + " " + r.Package + " " + r.Root
		had := seen[key]
		seen[key] = true
		return had
	})
}

func parseMatrix(r io.Reader) ([]Row, error) {
	var rows []Row
	seen := make(map[string]bool)
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		f := strings.Fields(text)
		if len(f) == 0 {
			continue
		}
		if len(f) != 7 {
			return nil, fmt.Errorf("matrix line %d: %d columns, not 7", n, len(f))
		}
		if _, err := archNamed(f[1]); err != nil {
			return nil, fmt.Errorf("matrix line %d: %w", n, err)
		}
		modes := strings.Split(f[6], ",")
		for _, mode := range modes {
			if !slices.Contains(Modes, mode) {
				return nil, fmt.Errorf("matrix line %d: unknown mode %q: known are %s", n, mode, strings.Join(Modes, ", "))
			}
		}
		if name := f[0] + " " + f[1]; seen[name] {
			return nil, fmt.Errorf("matrix line %d: a second row %q", n, name)
		}
		seen[f[0]+" "+f[1]] = true
		rows = append(rows, Row{Name: f[0], Arch: f[1], Suite: f[2], Package: f[3], Root: f[4], Interpreters: strings.Split(f[5], ","), Modes: modes})
	}
	return rows, lines.Err()
}
