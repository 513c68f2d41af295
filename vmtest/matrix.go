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
	"strings"
)

//go:embed matrix.txt
var matrix string

// Row is one line of the matrix.
type Row struct {
	Name         string   // what the user calls it: "6.1"
	Suite        string   // Debian suite the kernel comes from
	Package      string   // package that depends on the suite's newest kernel
	Root         string   // Debian root to boot into, by its name in the cache
	Interpreters []string // what is in the root to be watched: "python3.11"
}

// Matrix returns the rows of matrix.txt.
func Matrix() ([]Row, error) { return parseMatrix(strings.NewReader(matrix)) }

// Rows returns the rows of the matrix with the given names, all of them where there are none.
func Rows(names ...string) ([]Row, error) {
	all, err := Matrix()
	if err != nil || len(names) == 0 {
		return all, err
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
			return nil, fmt.Errorf("unknown kernel %q; matrix.txt has %s", name, strings.Join(known, ", "))
		}
		rows = append(rows, row)
	}
	return rows, nil
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
		if len(f) != 5 {
			return nil, fmt.Errorf("matrix line %d: %d columns, not 5", n, len(f))
		}
		if seen[f[0]] {
			return nil, fmt.Errorf("matrix line %d: a second row %q", n, f[0])
		}
		seen[f[0]] = true
		rows = append(rows, Row{Name: f[0], Suite: f[1], Package: f[2], Root: f[3], Interpreters: strings.Split(f[4], ",")})
	}
	return rows, lines.Err()
}
