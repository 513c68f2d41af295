// SPDX-License-Identifier: Apache-2.0

// Package zoo holds Python programs that attack who observes the host: files, memory, names, stacks and processes made to cost
// time or memory, to mislead, or to use up what others need. In goes a directory for the programs; out come those that there are.
// The end-to-end tests run each beside an innocent program and hold what loopwatch says of that against its log.
package zoo

import (
	"embed"
	"encoding/json"
	"fmt"

	"github.com/loopwatch/loopwatch/test/truth"
)

//go:embed programs/*.py
var programs embed.FS

// Innocent is the program that is attacked: SECONDS PAUSE. Block parses a line that it prints.
const Innocent = "innocent.py"

// Attack is a program and how it is run.
type Attack struct {
	Name, Program string
	Directory     bool // it is given one for its files
}

// Attacks returns all attacks. Each prints "ready" when it has begun and goes on until it is killed.
func Attacks() (out []Attack) {
	for _, of := range []struct {
		program   string
		directory bool
		names     []string
	}{
		{"files.py", true, []string{"sections", "mappings", "many", "changing", "fresh"}},
		{"memory.py", false, []string{"rings", "remap"}},
		{"memory.py", true, []string{"pretender"}},
		{"names.py", false, []string{"blocking", "renaming"}},
		{"code.py", false, []string{"lines", "deep"}},
		{"tasks.py", false, []string{"shared", "rings"}},
		{"storms.py", false, []string{"forks", "execs", "threads", "loops", "blocks", "descriptors"}},
	} {
		for _, name := range of.names {
			out = append(out, Attack{name, of.program, of.directory})
		}
	}
	return out
}

// Write writes all programs into a directory.
func Write(dir string) error { return truth.WritePrograms(programs, dir) }

// Block is one of Innocent's: when it began and ended, CLOCK_MONOTONIC nanoseconds.
type Block struct{ Begin, End int64 }

// ParseBlock reads a line of Innocent.
func ParseBlock(line []byte) (Block, error) {
	var times [2]int64
	if err := json.Unmarshal(line, &times); err != nil {
		return Block{}, fmt.Errorf("read a line of the innocent program: %w", err)
	}
	return Block{times[0], times[1]}, nil
}
