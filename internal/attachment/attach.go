// SPDX-License-Identifier: Apache-2.0

package attachment

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/usdt"
)

// attached is what came of attaching the probes of a file.
type attached struct {
	probes map[probes.USDTKind]probe
	failed []probes.USDTKind // that could not be attached
	full   bool              // because there was no room in the kernel's table
	from   *source           // then what they were read from, to be closed
}

// source is an open file and the probes in it.
type source struct {
	file  *process.File
	sites []usdt.Site
}

// close closes the file. Where its file system does not answer, that takes until it does.
func (s *source) close() { s.file.Close() }

// startAttaching reads what probes a process's interpreter has, and has those attached that are wanted.
func (f *Files) startAttaching(b *File, p program) {
	file, found, err := p.OpenProbes()
	if err != nil {
		f.lost[ReasonUnreadable]++
		return
	}
	for _, n := range found.Refused {
		f.lost[ReasonSites] += int64(n)
	}
	f.attachLater(b, &source{file, found.Sites}, f.opts.Kinds, nil)
}

// attachLater has probes of a file attached, once others have been detached.
func (f *Files) attachLater(b *File, from *source, kinds []probes.USDTKind, before []probe) {
	done := make(chan attached, 1)
	b.attaching = done
	f.running.Go(func() {
		for _, p := range before {
			f.detached.add(p.Close())
		}
		got := f.attachProbes(from, kinds)
		if got.full {
			got.from = from
		} else {
			from.close()
		}
		done <- got
	})
}

// attachProbes attaches the probes of a file that are wanted.
func (f *Files) attachProbes(from *source, kinds []probes.USDTKind) attached {
	out := attached{probes: map[probes.USDTKind]probe{}}
	for _, kind := range kinds {
		// By the open file, not by a path: nothing can take its place meanwhile.
		probe, err := f.attach(fmt.Sprintf("/proc/self/fd/%d", from.file.Fd()), kind, from.sites)
		switch {
		case err == nil:
			out.probes[kind] = probe
		case !errors.Is(err, probes.ErrNoUSDT):
			out.failed = append(out.failed, kind)
			out.full = out.full || errors.Is(err, probes.ErrFullUSDT)
		}
	}
	return out
}

// takeAttached takes over what has been attached since the last time. wait says to wait for what has not.
func (f *Files) takeAttached(wait bool) {
	for _, b := range f.files {
		if b.attaching == nil || !wait && len(b.attaching) == 0 {
			continue
		}
		var got attached
		select {
		case got = <-b.attaching:
		case <-time.After(patience):
			got.failed = f.opts.Kinds // the kernel waits for a file system that does not answer
		}
		b.attaching = nil
		for kind, probe := range got.probes {
			b.attached[kind] = &attachment{probe: probe}
			f.log.Info("the interpreter's own probes attached", "kind", kind, "inode", b.stamp.Inode)
		}
		if got.from != nil && b.users > 0 && !wait {
			if idle := f.dropIdle(0); len(idle) > 0 { // there is room then
				f.attachLater(b, got.from, got.failed, idle)
				continue
			}
		}
		if got.from != nil {
			f.running.Go(got.from.close)
		}
		if n := int64(len(got.failed)); n > 0 {
			f.lost[ReasonFailed] += n
			f.log.Warn("the interpreter's own probes not attached", "kinds", n, "full", got.full)
		}
	}
}

// detach has something detached.
func (f *Files) detach(how func() error) {
	f.running.Go(func() { f.detached.add(how()) })
}

// takeDetached counts what could not be detached.
func (f *Files) takeDetached() {
	for _, err := range f.detached.take() {
		f.failed(err)
	}
}

// outcomes are what came of detaching probes. They are safe for concurrent use.
type outcomes struct {
	mu   sync.Mutex
	errs []error
}

func (o *outcomes) add(err error) {
	if err == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.errs = append(o.errs, err)
}

func (o *outcomes) take() []error {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := o.errs
	o.errs = nil
	return out
}
