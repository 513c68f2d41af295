// SPDX-License-Identifier: Apache-2.0

package image

import (
	"sync"

	"github.com/loopwatch/loopwatch/internal/process"
)

// Cache remembers what was found in files, nothing included. The zero value is ready for use, by several goroutines.
type Cache struct {
	mu sync.Mutex
	m  map[process.FileStamp]cached
}

type cached struct {
	img *Image
	err error
}

// maxImages bounds the files that are remembered. A host has some hundred different executables and libraries that get
// looked at.
const maxImages = 4096

// Get returns what the file of a mapping says. The error matches ErrNothing where that is nothing of Python's, and one of
// elffile's where it is no file that could.
func (c *Cache) Get(p *process.Process, m process.Mapping) (*Image, error) {
	stamp, err := p.StatMapping(m)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	known, ok := c.m[stamp]
	c.mu.Unlock()
	if ok {
		return known.img, known.err
	}
	f, err := p.OpenMapping(m)
	if err != nil {
		return nil, err // not remembered: it may be a matter of this process
	}
	defer f.Close()
	known.img, known.err = scan(f, f.Size)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil || len(c.m) >= maxImages {
		c.m = map[process.FileStamp]cached{}
	}
	c.m[stamp] = known
	return known.img, known.err
}
