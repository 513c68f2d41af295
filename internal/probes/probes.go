// SPDX-License-Identifier: Apache-2.0

// Package probes is loopwatch's side of the kernel: it loads the programs of bpf/, attaches
// them in the best way this kernel allows, and turns their records into typed events. What
// user space decides about processes and threads goes back the same way. In go options, verdicts and
// thread configurations; out come events, statistics and thread states. It knows nothing of Python's names.
package probes

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/probes/host"
	"github.com/loopwatch/loopwatch/internal/probes/ticks"
)

// Options choose what the programs do. The zero value of a field means its default.
type Options struct {
	Threshold      time.Duration // an active period of at least this is a block; default 100 ms
	Rate           int           // ticks a second on each CPU; default DefaultRate(Threshold)
	Attach         string        // AttachAuto (default), AttachFentry or AttachTracepoint
	Filter         bool          // watch only what Want names
	FollowChildren bool          // with Filter: and what that forks
	Loops          int           // room for so many loops; default and least 256, at most MaxLoops
	USDT           bool          // AttachUSDT is going to be called
}

// Ways to hook the waits.
const (
	AttachAuto       = "auto"
	AttachFentry     = string(host.Fentry)
	AttachTracepoint = string(host.Tracepoint)
)

// DefaultRate returns the ticks a second that put at least two into a block of the given
// threshold, and no fewer than 99.
func DefaultRate(threshold time.Duration) int {
	return int(min(max(2*time.Second/max(threshold, 1), 99), MaxRate))
}

// MaxRate bounds the ticks a second.
const MaxRate = 10_000

// Probes are the loaded and attached programs. Close detaches them; so does the end of the
// process, however it comes.
type Probes struct {
	attach   string
	fallback error // why fentry was not taken, if it was tried
	coll     *ebpf.Collection
	reader   *ringbuf.Reader
	closers  []io.Closer
	ticks    *ticks.Ticks

	fixedRate bool // Options.Rate was set

	loops   int
	layouts layoutTable
	usdt    *usdtTable

	mu         sync.Mutex
	generation uint32
	epoch      uint32
	mark       uint8
}

// Open loads and attaches everything. Errors are of the kind a user can act on: see errors.go.
func Open(o Options) (_ *Probes, err error) {
	fixedRate := o.Rate > 0
	o.setDefaults()
	if err := host.Check(); err != nil {
		return nil, err
	}
	_, locked := host.Memlock()
	p := &Probes{loops: o.Loops, fixedRate: fixedRate, usdt: &usdtTable{}}
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	if err := p.loadAndAttach(o); err != nil {
		if locked != nil && errors.Is(err, unix.EPERM) {
			return nil, locked
		}
		return nil, err
	}
	p.reader, err = ringbuf.NewReader(p.coll.Maps[loopwatchMapRecords])
	if err != nil {
		return nil, fmt.Errorf("open ring buffer: %w", err)
	}
	return p, nil
}

func (o *Options) setDefaults() {
	if o.Threshold <= 0 {
		o.Threshold = 100 * time.Millisecond
	}
	if o.Rate <= 0 {
		o.Rate = DefaultRate(o.Threshold)
	}
	if o.Attach == "" {
		o.Attach = AttachAuto
	}
	o.Loops = min(max(o.Loops, 256), MaxLoops)
}

// loadAndAttach loads everything, then attaches it: the waits in the best way there is.
func (p *Probes) loadAndAttach(o Options) error {
	types := btf.NewCache()
	spec, _, err := loadObject(types)
	if err != nil {
		return err
	}
	if err := configure(spec, o); err != nil {
		return err
	}
	p.prepareUSDT(spec, o.USDT)
	l := loader{spec: spec, types: types}
	if p.coll, err = l.maps(); err != nil {
		return host.Explain(host.Tracing, err)
	}
	modes := []string{AttachFentry, AttachTracepoint}
	if o.Attach != AttachAuto {
		modes = []string{o.Attach}
	}
	// Kernels that refuse the best way do so at once, so it is loaded before what every way needs. Nothing
	// is attached until all is loaded: a wait hooked without the rest would be booked wrongly.
	for len(modes) > 1 {
		if p.fallback = l.load(p.coll, waitPrograms(modes[0])); p.fallback == nil {
			break
		}
		modes = modes[1:]
	}
	if err := l.load(p.coll, l.sharedPrograms()); err != nil {
		return host.Explain(host.Tracing, err)
	}
	for i, mode := range modes {
		if err = l.load(p.coll, waitPrograms(mode)); err == nil {
			err = p.attachAll(mode, o)
		}
		if err == nil {
			p.attach = mode
			return nil
		}
		p.unhook()
		if i == len(modes)-1 {
			return host.Explain(host.Hook(mode), err)
		}
		p.fallback = err
		for _, name := range waitPrograms(mode) {
			_ = p.coll.Programs[name].Close() // nil where it was not loaded
			delete(p.coll.Programs, name)
		}
	}
	return nil
}

// loadObject returns the programs as this kernel can take them: with bpf_loop (5.17) or without.
func loadObject(types *btf.Cache) (spec *ebpf.CollectionSpec, loops bool, err error) {
	loops = !errors.Is(features.HaveProgramHelper(ebpf.TracePoint, asm.FnLoop), ebpf.ErrNotSupported)
	if loops {
		spec, err = loadLoopwatch()
	} else {
		spec, err = loadWithoutLoop()
	}
	if err == nil && !hasFunction(types, readyFunction) {
		delete(spec.Programs, loopwatchProgOnReady)
	}
	return spec, loops, err
}

// Attach returns how the waits are hooked: AttachFentry or AttachTracepoint.
func (p *Probes) Attach() string { return p.attach }

// Fallback returns why fentry was tried and not taken, or nil.
func (p *Probes) Fallback() error { return p.fallback }

// Loops returns the room there is for loops: slots are 0 to Loops-1.
func (p *Probes) Loops() int { return p.loops }

// VerifiedInstructions returns how many instructions the verifier processed for each program,
// where the kernel says (5.16 and later).
func (p *Probes) VerifiedInstructions() map[string]uint32 {
	out := make(map[string]uint32)
	for name, prog := range p.coll.Programs {
		if info, err := prog.Info(); err == nil {
			if n, ok := info.VerifiedInstructions(); ok {
				out[name] = n
			}
		}
	}
	return out
}

// ProgramStats is what one program has cost since EnableStats.
type ProgramStats struct {
	Name    string
	Runs    uint64
	Runtime time.Duration
}

// EnableStats makes the kernel count runs and nanoseconds of every BPF program on the host
// until the closer is closed. It costs some 20 ns a run.
func EnableStats() (io.Closer, error) { return ebpf.EnableStats(uint32(statsRunTime)) }

// Stats returns the cost of each program by name.
func (p *Probes) Stats() ([]ProgramStats, error) {
	var out []ProgramStats
	for name, prog := range p.coll.Programs {
		s, err := prog.Stats()
		if err != nil {
			return nil, fmt.Errorf("statistics of %s: %w", name, err)
		}
		out = append(out, ProgramStats{Name: name, Runs: s.RunCount, Runtime: s.Runtime})
	}
	slices.SortFunc(out, func(a, b ProgramStats) int { return int(b.Runtime - a.Runtime) })
	return out, nil
}

// unhook detaches the programs and keeps them.
func (p *Probes) unhook() {
	p.usdt.close(false)
	for _, c := range slices.Backward(p.closers) {
		_ = c.Close()
	}
	p.closers = nil
	p.ticks.Close()
}

func (p *Probes) detach() {
	p.usdt.close(true)
	p.unhook()
	if p.coll != nil {
		p.coll.Close()
		p.coll = nil
	}
}

// Close detaches the programs and frees the maps.
func (p *Probes) Close() error {
	var err error
	if p.reader != nil {
		err = p.reader.Close()
	}
	p.detach()
	if errors.Is(err, ringbuf.ErrClosed) {
		return nil
	}
	return err
}
