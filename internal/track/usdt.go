// SPDX-License-Identifier: Apache-2.0

package track

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/usdt"
)

// USDT says which of the interpreters' own probes to use.
type USDT struct {
	Kinds []probes.USDTKind
	// MaxRate, if not 0, is how many times a second the probes of one kind in one binary may be
	// hit on one CPU: those hit more often are withdrawn.
	MaxRate int64
}

// probedFiles are the files with an interpreter in them in which a loop runs.
type probedFiles map[process.FileStamp]*probedFile

// probedFile is one such file. Its probes are attached once for all processes.
type probedFile struct {
	stamp    process.FileStamp
	users    int       // processes with a loop
	idle     time.Time // since there is none, zero: there is one
	attached map[probes.USDTKind]*attachment
	// attaching delivers what has been attached, once. To attach and to detach takes the kernel tens of
	// milliseconds, in which no event may have to wait; so others do that. It is nil afterwards.
	attaching chan attached
}

// attached is what came of attaching the probes of a file.
type attached struct {
	probes map[probes.USDTKind]*probes.USDT
	failed int64 // kinds that could not be attached
	full   bool  // there was no room in the kernel's table
}

type attachment struct {
	probe   *probes.USDT
	hits    []uint64 // by CPU
	at      int64    // when they were counted
	closing bool     // what had begun may end
}

// kinds lists what is in use; nil of a process whose binary has no probes.
func (b *probedFile) kinds() (out []string) {
	if b == nil {
		return nil
	}
	for kind, a := range b.attached {
		if !a.closing {
			out = append(out, string(kind))
		}
	}
	slices.Sort(out)
	return out
}

// useProbes attaches the probes of a process's interpreter, unless that has been done for another
// process. To be called when a loop is found in it.
func (c *Tracker) useProbes(p *proc) {
	if p.probed != nil || len(c.opts.USDT.Kinds) == 0 {
		return
	}
	stamp, err := p.StatMapping(p.Runtime.Image)
	if err != nil {
		c.lost[reasonNoUSDT]++
		return
	}
	b := c.usdt[stamp]
	if b == nil {
		b = &probedFile{stamp: stamp, attached: map[probes.USDTKind]*attachment{}}
		c.usdt[stamp] = b
		c.startAttaching(b, p)
	}
	b.users++
	b.idle = time.Time{}
	p.probed = b
}

// startAttaching reads what probes a process's interpreter has, and has those attached that are wanted.
func (c *Tracker) startAttaching(b *probedFile, p *proc) {
	f, found, err := p.OpenProbes()
	if err != nil {
		c.lost[reasonNoUSDT]++
		return
	}
	for _, n := range found.Refused {
		c.lost[reasonSites] += int64(n)
	}
	done := make(chan attached, 1)
	b.attaching = done
	go func() {
		defer f.Close()
		done <- attachProbes(c.kernel, f, found, c.opts.USDT.Kinds)
	}()
}

// attachProbes attaches the probes of a file that are wanted.
func attachProbes(k Kernel, f *os.File, found *usdt.File, kinds []probes.USDTKind) attached {
	out := attached{probes: map[probes.USDTKind]*probes.USDT{}}
	for _, kind := range kinds {
		// By the open file, not by a path: nothing can take its place meanwhile.
		probe, err := k.AttachUSDT(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), kind, found.Sites)
		switch {
		case err == nil:
			out.probes[kind] = probe
		case !errors.Is(err, probes.ErrNoUSDT):
			out.failed++
			out.full = out.full || errors.Is(err, probes.ErrFullUSDT)
		}
	}
	return out
}

// takeAttached takes over what has been attached since the last time. wait says to wait for what has not.
func (c *Tracker) takeAttached(wait bool) {
	for _, b := range c.usdt {
		if b.attaching == nil || !wait && len(b.attaching) == 0 {
			continue
		}
		got := <-b.attaching
		b.attaching = nil
		for kind, probe := range got.probes {
			b.attached[kind] = &attachment{probe: probe}
		}
		if got.failed > 0 {
			c.lost[reasonUSDT] += got.failed
		}
		if got.full {
			c.dropIdleProbes(0) // there is room for the next file
		}
	}
}

// detach has something detached.
func (c *Tracker) detach(how func() error) {
	go func() { c.detached <- how() }()
}

// takeDetached counts what could not be detached.
func (c *Tracker) takeDetached() {
	for len(c.detached) > 0 {
		c.check(<-c.detached)
	}
}

// releaseProbes notes that a process has ended that used the probes of its file.
func (c *Tracker) releaseProbes(p *proc) {
	b := p.probed
	if b == nil {
		return
	}
	p.probed = nil
	if b.users--; b.users == 0 {
		b.idle = time.Now()
	}
}

// idleAfter is how long probes stay that no process uses: short-lived processes follow one another.
const idleAfter = 10 * time.Second

// dropIdleProbes detaches what no process has used for so long.
func (c *Tracker) dropIdleProbes(after time.Duration) {
	for stamp, b := range c.usdt {
		if b.users > 0 || b.attaching != nil || time.Since(b.idle) < after {
			continue
		}
		delete(c.usdt, stamp)
		for _, a := range b.attached {
			c.detach(a.probe.Close)
		}
	}
}

// limitProbes withdraws what is hit too often to be worth it.
func (c *Tracker) limitProbes(now int64) {
	c.takeAttached(false)
	c.takeDetached()
	c.dropIdleProbes(idleAfter)
	limit := c.opts.USDT.MaxRate
	if limit == 0 {
		return
	}
	const every = 1_000_000_000 // ns
	for _, b := range c.usdt {
		for kind, a := range b.attached {
			if a.closing {
				c.detach(a.probe.Close)
				delete(b.attached, kind)
				continue
			}
			if now-a.at < every {
				continue
			}
			hits, err := a.probe.Hits()
			if err != nil {
				c.check(err)
				continue
			}
			if a.at != 0 && busiest(a.hits, hits) > float64(limit)*float64(now-a.at)/1e9 {
				c.lost[reasonOften]++
				c.detach(a.probe.CloseStart)
				a.closing = true
			}
			a.hits, a.at = hits, now
		}
	}
}

// busiest returns by how much the count of one CPU went up at most.
func busiest(before, now []uint64) (most float64) {
	for cpu, n := range now {
		if cpu < len(before) {
			most = max(most, float64(n-before[cpu]))
		}
	}
	return most
}
