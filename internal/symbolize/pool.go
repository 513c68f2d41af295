// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"runtime"
	"sync"
	"weak"
)

// MaxTogether is how many bytes of code objects are kept of all processes.
const MaxTogether = 8 << 20

// Pool bounds what the resolvers of many processes keep together. Where that is too much, the one that keeps most forgets what it
// has not used for longest: a process with a lot of code takes nothing from those with little. It is safe for concurrent use.
type Pool struct {
	most    int // bytes
	mu      sync.Mutex
	bytes   int
	members map[*share]weak.Pointer[Resolver]
}

// share is what one resolver keeps. It counts until the resolver has been collected: so long the memory is in use.
type share struct{ bytes int }

// NewPool returns a pool of so many bytes.
func NewPool(most int) *Pool {
	return &Pool{most: most, members: make(map[*share]weak.Pointer[Resolver])}
}

// join makes room for what a resolver is going to keep.
func (p *Pool) join(r *Resolver) *share {
	s := &share{}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.members[s] = weak.Make(r)
	runtime.AddCleanup(r, p.leave, s)
	return s
}

func (p *Pool) leave(s *share) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytes -= s.bytes
	delete(p.members, s)
}

// add notes that a resolver keeps so many bytes more, or less.
func (p *Pool) add(s *share, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.bytes += n
	p.bytes += n
}

// fit has as much forgotten as there is too much. Who calls it is busy with one resolver; those that others are busy with are left
// out.
func (p *Pool) fit(busy *Resolver) {
	for out := map[*share]bool{}; ; {
		r, s := p.largest(out)
		if r == nil {
			return
		}
		if r != busy && !r.busy.TryLock() {
			out[s] = true
			continue
		}
		r.shrink()
		if r != busy {
			r.busy.Unlock()
		}
	}
}

// largest returns the resolver that keeps most, and its share; nil where all is within bounds, and where there is none.
func (p *Pool) largest(without map[*share]bool) (*Resolver, *share) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bytes <= p.most {
		return nil, nil
	}
	var found *Resolver
	var most *share
	for s, r := range p.members {
		if without[s] || s.bytes == 0 || most != nil && s.bytes <= most.bytes {
			continue
		}
		if alive := r.Value(); alive != nil {
			found, most = alive, s
		}
	}
	return found, most
}

// shrink forgets an eighth of what is kept, one code object at least.
func (r *Resolver) shrink() {
	for to := r.bytes - r.bytes/8; r.codes.Len() > 0; {
		r.codes.RemoveOldest()
		r.evicted++
		if r.bytes <= to {
			return
		}
	}
}
