// SPDX-License-Identifier: Apache-2.0

// Package native names native code. In goes an address in a file that is mapped into a process; out comes the function there,
// by the file's own symbol table. Of code that Cython compiled that is the function of the source. The file is whatever a
// process has mapped: all that is read of it is bounded. What was found in a file is remembered.
package native

import (
	"errors"
	"sync"
	"time"

	"github.com/loopwatch/loopwatch/internal/elffile"
	"github.com/loopwatch/loopwatch/internal/process"
)

// Bounds of what is remembered.
const (
	maxTables  = 512
	maxKept    = 1 << 21 // functions of all files
	maxAnswers = 1024    // of one file
)

// Bytes that are read before a file that changes, or a process with many files, has to wait.
const (
	savedOfFile    = 8 << 20
	savedOfProcess = 96 << 20
	// What of a file goes beyond maxSmall counts for all files: processes may make ever new ones.
	maxSmall   = 8 << 20
	savedLarge = 512 << 20
)

// largeFiles is whose reads those of large files are: no file has this number.
var largeFiles = elffile.FileOf(process.FileStamp{})

// ErrTooMuch says that a file changes too fast, or that the files of a process are too large, to be read now.
var ErrTooMuch = errors.New("too much was read of late")

// Cache remembers the functions of files. The zero value is ready for use, by several goroutines.
type Cache struct {
	mu     sync.Mutex
	tables map[process.FileStamp]*table
	kept   int // functions in tables
	reads  elffile.Reads
}

// Function returns the function that an instruction lies in, given the mapping of a process that it lies in; "" where no
// symbol of the file covers it. The only error is ErrTooMuch.
func (c *Cache) Function(p *process.Process, m process.Mapping, ip uint64) (string, error) {
	if m.Inode == 0 || !m.Contains(ip) {
		return "", nil
	}
	stamp, err := p.StatMapping(m)
	if err != nil {
		return "", nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tables[stamp]
	if t != nil {
		if name, known := t.answers[m.Offset+ip-m.Start]; known {
			return name, nil
		}
	}
	file, owner := elffile.FileOf(stamp), elffile.ProcessOf(p)
	if now := time.Now(); !c.reads.May(owner, savedOfProcess, now) || t == nil && !c.reads.May(file, savedOfFile, now) {
		return "", ErrTooMuch
	}
	f, err := p.OpenMapping(m)
	if err != nil {
		return "", nil // not remembered: it may be a matter of this process
	}
	defer f.Close()
	r := &elffile.Counter{From: f}
	if !c.reads.May(largeFiles, savedLarge, time.Now()) {
		r.Beyond, r.Most = ErrTooMuch, maxSmall
	}
	defer func() {
		c.reads.Charge(owner, r.Bytes, time.Now())
		c.reads.Charge(file, r.Bytes, time.Now())
		c.reads.Charge(largeFiles, max(r.Bytes-maxSmall, 0), time.Now())
	}()
	if t == nil {
		t, err = readTable(r, f.Size)
		switch {
		case errors.Is(err, process.ErrNoAnswer):
			return "", nil
		case errors.Is(err, ErrTooMuch):
			return "", err
		}
		c.keep(stamp, t)
	}
	return t.answer(r, m.Offset+ip-m.Start), nil
}

// keep remembers a table, and forgets all others where there are too many.
func (c *Cache) keep(stamp process.FileStamp, t *table) {
	if c.tables == nil || len(c.tables) >= maxTables || c.kept+len(t.functions) > maxKept {
		c.tables, c.kept = make(map[process.FileStamp]*table), 0
	}
	c.tables[stamp] = t
	c.kept += len(t.functions)
}

// table is what a file says of its functions: none where it cannot be understood.
type table struct {
	segments  []elffile.Segment
	functions []function        // by address
	names     elffile.Section   // within the file
	answers   map[uint64]string // by offset into the file
	left      uint64            // bytes of names that may still be searched
}
