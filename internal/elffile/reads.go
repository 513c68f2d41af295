// SPDX-License-Identifier: Apache-2.0

package elffile

import (
	"errors"
	"io"
	"maps"
	"sync"
	"time"

	"github.com/loopwatch/loopwatch/internal/process"
)

// ErrChanges says that a file changes faster than it may be read.
var ErrChanges = errors.New("the file changes faster than it is read")

// Bounds of Reads.
const (
	readRate = 1 << 20 // bytes a second that are forgiven
	maxOwing = 4096
)

// Who is whose reads are counted: FileOf or ProcessOf.
type Who struct{ a, b uint64 }

// FileOf returns a file, whatever its contents and times are.
func FileOf(s process.FileStamp) Who { return Who{s.Dev, s.Inode} }

// ProcessOf returns a process.
func ProcessOf(p *process.Process) Who { return Who{uint64(p.PID), p.StartTime} }

// Reads bounds how much is read in the long run: of one file, however often it changes, or of the files of one process, however
// many it maps. The zero value is ready for use, by several goroutines.
type Reads struct {
	mu   sync.Mutex
	owes map[Who]debt
}

// debt is what was read of late.
type debt struct {
	bytes int64
	at    time.Time
}

func (d debt) now(now time.Time) int64 {
	return max(d.bytes-int64(now.Sub(d.at).Seconds()*readRate), 0)
}

// May reports whether no more than so many bytes were read of late.
func (r *Reads) May(who Who, saved int64, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.owes[who].now(now) <= saved
}

// Charge notes that so many bytes were read.
func (r *Reads) Charge(who Who, n int64, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d, known := r.owes[who]
	if !known && len(r.owes) >= maxOwing {
		maps.DeleteFunc(r.owes, func(_ Who, d debt) bool { return d.now(now) == 0 })
	}
	if r.owes == nil || !known && len(r.owes) >= maxOwing {
		r.owes = make(map[Who]debt)
	}
	r.owes[who] = debt{d.now(now) + n, now}
}

// Counter counts what is read of a file. It is not safe for concurrent use.
type Counter struct {
	From  io.ReaderAt
	Bytes int64
	// Beyond, if set, is the error of reads beyond Most bytes.
	Beyond error
	Most   int64
}

// ReadAt reads as io.ReaderAt says.
func (c *Counter) ReadAt(p []byte, off int64) (int, error) {
	if c.Beyond != nil && c.Bytes+int64(len(p)) > c.Most {
		return 0, c.Beyond
	}
	c.Bytes += int64(len(p))
	return c.From.ReadAt(p, off)
}
