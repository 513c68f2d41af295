// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/eventloop"
)

// shelfOf has n code objects, each of some bytes, at the addresses from 1 on.
func shelfOf(n, bytes int) (*shelf, []cpython.RawFrame) {
	s := &shelf{codes: make(map[uint64]cpython.Code)}
	var all []cpython.RawFrame
	for i := range n {
		s.codes[uint64(i+1)] = cpython.Code{Name: fmt.Sprint("f", i), File: strings.Repeat("x", bytes), Check: uint32(i)}
		all = append(all, cpython.RawFrame{Code: uint64(i + 1), Instr: -1, Check: uint32(i)})
	}
	return s, all
}

func (p *Pool) total() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes
}

// TestTogether: of many processes with a lot of code no more is kept than of one, and what little another has stays.
func TestTogether(t *testing.T) {
	const most = 1 << 20
	pool := NewPool(most)
	little, few := shelfOf(20, 500)
	innocent := newResolver(little, &space{}, eventloop.IsApp, pool)
	innocent.Frames(few)
	var hostile []*Resolver
	for range 30 {
		s, all := shelfOf(16, 50_000)
		r := newResolver(s, &space{}, eventloop.IsApp, pool)
		hostile = append(hostile, r)
		for _, f := range all {
			r.Frames([]cpython.RawFrame{f})
			require.LessOrEqual(t, pool.total(), most)
		}
		assert.Positive(t, r.Stats().Codes, "each has its part")
	}
	innocent.Frames(few)
	assert.Equal(t, 20, little.reads, "nothing of it was forgotten")
	sum := innocent.Stats().Bytes
	for _, r := range hostile {
		sum += r.Stats().Bytes
	}
	assert.Equal(t, sum, pool.total())
}

// TestCollected: what the resolver of a process that has ended kept does not count for long.
func TestCollected(t *testing.T) {
	pool := NewPool(1 << 20)
	s, all := shelfOf(4, 50_000)
	newResolver(s, &space{}, eventloop.IsApp, pool).Frames(all)
	assert.Eventually(t, func() bool { runtime.GC(); return pool.total() == 0 }, time.Minute, time.Millisecond)
	assert.Empty(t, pool.members)
}

// TestTogetherAtOnce has several goroutines name frames, one resolver each: none waits for another for ever.
func TestTogetherAtOnce(t *testing.T) {
	const most = 1 << 20
	pool := NewPool(most)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, all := shelfOf(16, 50_000)
			r := newResolver(s, &space{}, eventloop.IsApp, pool)
			for i := range 2000 {
				r.Frames(all[i%16 : i%16+1])
			}
		})
	}
	wg.Wait()
	assert.LessOrEqual(t, pool.total(), most+8*60_000, "those that were busy at the end are over it by one code object each at most")
}
