// SPDX-License-Identifier: Apache-2.0

package image

import (
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/loopwatch/loopwatch/internal/elffile"
	"github.com/loopwatch/loopwatch/internal/process"
)

// Cache remembers what was found in files, nothing included. The zero value is ready for use, by several goroutines.
type Cache struct {
	mu    sync.Mutex
	m     *simplelru.LRU[process.FileStamp, cached] // nil: nothing yet
	reads elffile.Reads
}

type cached struct {
	img *Image
	err error
}

// Bounds of what is read and remembered.
const (
	// A host has some hundred different executables and libraries that get looked at. Each takes some kilobytes, and one that is
	// replaced, as by an update, is not asked for again.
	maxImages = 512
	maxOfOne  = 256 << 20 // bytes of all files of one process that are not remembered yet
	savedRead = 8 << 20   // bytes that are read of a file that changes, before it has to wait
)

// ErrTooMuch says that the files of a process are larger than is read of one.
var ErrTooMuch = errors.New("its files are larger than is read of one process")

// Files reads the files of one process.
type Files struct {
	cache   *Cache
	process *process.Process
	left    int64
}

// Files returns the files of a process. It is for one look at it, and not safe for concurrent use.
func (c *Cache) Files(p *process.Process) *Files { return &Files{cache: c, process: p, left: maxOfOne} }

// Get returns what the file of a mapping says. The error matches ErrNothing where that is nothing of Python's, one of
// elffile's where it is no file that could or one that changes too fast, and ErrTooMuch where too much has been read already.
func (f *Files) Get(m process.Mapping) (*Image, error) {
	stamp, err := f.process.StatMapping(m)
	if err != nil {
		return nil, err
	}
	c := f.cache
	if known, ok := c.known(stamp); ok {
		return known.img, known.err
	}
	if f.left <= 0 {
		return nil, ErrTooMuch
	}
	file := elffile.FileOf(stamp)
	if !c.reads.May(file, savedRead, time.Now()) {
		return nil, elffile.ErrChanges
	}
	opened, err := f.process.OpenMapping(m)
	if err != nil {
		return nil, err // not remembered: it may be a matter of this process
	}
	defer opened.Close()
	r := &elffile.Counter{From: opened}
	var found cached
	found.img, found.err = scan(r, opened.Size)
	f.left -= r.Bytes
	c.reads.Charge(file, r.Bytes, time.Now())
	c.keep(stamp, found)
	return found.img, found.err
}

func (c *Cache) known(stamp process.FileStamp) (cached, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		return cached{}, false
	}
	return c.m.Get(stamp)
}

func (c *Cache) keep(stamp process.FileStamp, found cached) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		c.m, _ = simplelru.NewLRU[process.FileStamp, cached](maxImages, nil) // fails for sizes below 1 only
	}
	c.m.Add(stamp, found)
}
