// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"fmt"
	"sync"
	"time"
)

// start says about once a second what is being done, for as long as an observation has not begun. Much is
// done at once on a host with many processes, or with little CPU time to spare. A nil *start says nothing.
type start struct {
	mu       sync.Mutex
	doing    string
	done, of int // 0 where that is not counted

	once  sync.Once
	ended chan struct{}
}

func newStart(say func(string)) *start {
	if say == nil {
		return nil
	}
	s := &start{ended: make(chan struct{})}
	go func() {
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				say(s.String())
			case <-s.ended:
				return
			}
		}
	}()
	return s
}

func (s *start) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == 0 {
		return s.doing
	}
	return fmt.Sprintf("%s, %d of %d", s.doing, s.done, s.of)
}

// at notes what is being done. It may be called from several goroutines.
func (s *start) at(doing string, done, of int) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if doing == s.doing {
		done = max(done, s.done)
	}
	s.doing, s.done, s.of = doing, done, of
}

func (s *start) end() {
	if s != nil {
		s.once.Do(func() { close(s.ended) })
	}
}
