// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// patience tells a guest that hangs from one whose host is slow or busy: what counts is not how long it takes
// in all.
type patience struct {
	comeUp  time.Duration // until the command starts, without the time in which the guest waited for a CPU
	silence time.Duration // from then on without a word
	spoken  atomic.Int64  // bytes that the command has said

	look func(context.Context) bool // waits until it is time to look again; false when ctx is done
}

func newPatience(comeUp, silence time.Duration) *patience {
	return &patience{comeUp: comeUp, silence: silence, look: func(ctx context.Context) bool {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(100 * time.Millisecond):
			return true
		}
	}}
}

// listen returns a writer that passes on what the command says.
func (p *patience) listen(to io.Writer) io.Writer {
	return writerFunc(func(b []byte) (int, error) {
		p.spoken.Add(int64(len(b)))
		if to == nil {
			return len(b), nil
		}
		return to.Write(b)
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// hangs is what Machine.hangs is unless a test has its own.
func (p *patience) hangs(ctx context.Context, pid int, ready func() bool) error {
	begin, heard, spoken := time.Now(), time.Time{}, int64(0)
	for p.look(ctx) {
		switch n := p.spoken.Load(); {
		case heard.IsZero() && !ready():
			if time.Since(begin)-waitedForCPU(pid) > p.comeUp {
				return fmt.Errorf("guest did not boot within %s", p.comeUp)
			}
		case heard.IsZero() || n > spoken:
			heard, spoken = time.Now(), n
		case time.Since(heard) > p.silence:
			return fmt.Errorf("guest has said nothing for %s", p.silence)
		}
	}
	return nil
}

// waitedForCPU returns how long that thread of a process which waited most could have run, had there been a
// CPU for it.
func waitedForCPU(pid int) (most time.Duration) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid)) // the pattern is a good one
	for _, file := range files {
		var ran, waited time.Duration
		content, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		if _, err := fmt.Sscan(string(content), &ran, &waited); err == nil {
			most = max(most, waited)
		}
	}
	return most
}
