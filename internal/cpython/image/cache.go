// SPDX-License-Identifier: Apache-2.0

package image

import (
	"errors"
	"io"
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
	being map[elffile.Who]chan struct{}             // read, until it is closed
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
	// What of a file goes beyond maxSmall counts for all files: processes may make ever new ones. What is needed of a Python's
	// is far less.
	maxSmall   = 1 << 20
	savedLarge = 512 << 20
)

// ErrTooMuch says that the files of a process are larger than is read of one.
var ErrTooMuch = errors.New("its files are larger than is read of one process")

// ErrLater says that a file is large, and that there have been too many such files of late.
var ErrLater = errors.New("too much has been read of large files of late")

// Files reads the files of one process.
type Files struct {
	cache   *Cache
	process *process.Process
	left    int64
}

// Files returns the files of a process. It is for one look at it, and not safe for concurrent use.
func (c *Cache) Files(p *process.Process) *Files { return &Files{cache: c, process: p, left: maxOfOne} }

// Get returns what the file of a mapping says. The error matches ErrNothing where that is nothing of Python's, one of
// elffile's where it is no file that could or one that changes too fast, and ErrTooMuch or ErrLater where too much has been read
// already, of this process's files or of all.
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
	defer c.begin(file)()
	if known, ok := c.known(stamp); ok {
		return known.img, known.err
	}
	if !c.reads.May(file, savedRead, time.Now()) {
		return nil, elffile.ErrChanges
	}
	opened, err := f.process.OpenMapping(m)
	if err != nil {
		return nil, err // not remembered: it may be a matter of this process
	}
	defer opened.Close()
	r := c.reader(opened, time.Now())
	var found cached
	found.img, found.err = scan(r, opened.Size)
	f.left -= r.Bytes
	c.reads.Charge(file, r.Bytes, time.Now())
	c.reads.Charge(largeFiles, max(r.Bytes-maxSmall, 0), time.Now())
	if errors.Is(found.err, ErrLater) {
		return nil, found.err
	}
	c.keep(stamp, found)
	return found.img, found.err
}

// largeFiles is whose reads those of large files are: no file has this number.
var largeFiles = elffile.FileOf(process.FileStamp{})

// reader reads a file, of which there is not much as long as large files have been read too much.
func (c *Cache) reader(file io.ReaderAt, now time.Time) *elffile.Counter {
	r := &elffile.Counter{From: file}
	if !c.reads.May(largeFiles, savedLarge, now) {
		r.Beyond, r.Most = ErrLater, maxSmall
	}
	return r
}

// othersMayTake is how long a look waits for another one that reads the same file.
const othersMayTake = 500 * time.Millisecond

// begin waits until nobody else reads a file, but not for long, and has others wait until done is called: many processes may map
// a file that changes.
func (c *Cache) begin(file elffile.Who) (done func()) {
	enough := time.NewTimer(othersMayTake)
	defer enough.Stop()
	for {
		c.mu.Lock()
		other := c.being[file]
		if other == nil {
			own := make(chan struct{})
			if c.being == nil {
				c.being = make(map[elffile.Who]chan struct{})
			}
			c.being[file] = own
			c.mu.Unlock()
			return func() {
				c.mu.Lock()
				defer c.mu.Unlock()
				delete(c.being, file)
				close(own)
			}
		}
		c.mu.Unlock()
		select {
		case <-other:
		case <-enough.C:
			return func() {}
		}
	}
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
