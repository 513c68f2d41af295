// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"

	"github.com/loopwatch/loopwatch/internal/abi"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
	"github.com/loopwatch/loopwatch/internal/usdt"
)

// USDTKind is a group of the interpreter's own probes.
type USDTKind string

const (
	USDTGC     = USDTKind("gc")     // gc__start, gc__done
	USDTImport = USDTKind("import") // import__find__load__start, import__find__load__done
	USDTAudit  = USDTKind("audit")  // audit
)

// USDTKinds lists them all.
var USDTKinds = []USDTKind{USDTGC, USDTImport, USDTAudit}

// usdtProbes are the probes of each kind by their names in the binary, the one that ends something
// before the one that begins it: what is begun has to be seen to end.
var usdtProbes = map[USDTKind][]struct {
	name  string
	probe uint32
}{
	USDTGC:     {{"gc__done", abi.UsdtGcDone}, {"gc__start", abi.UsdtGcStart}},
	USDTImport: {{"import__find__load__done", abi.UsdtImportDone}, {"import__find__load__start", abi.UsdtImportStart}},
	USDTAudit:  {{"audit", abi.UsdtAudit}},
}

// Errors of AttachUSDT.
var (
	ErrNoUSDT   = errors.New("the binary has no such probes")
	ErrFullUSDT = errors.New("too many probes at once")
	errClosed   = errors.New("the probes are closed")
)

// usdtTable hands out places in the kernel's table of sites. To attach and to detach takes the kernel tens of
// milliseconds, so others than the goroutine that handles events may do it, one at a time.
type usdtTable struct {
	mu       sync.Mutex
	closed   bool
	programs []string // by place, or the one for all
	multi    bool     // one link takes many sites (6.6 and later)
	next     uint32
	free     []uint32
	open     map[*USDT]bool
}

// prepareUSDT finds out how sites can be attached, and drops the programs where none are wanted.
func (p *Probes) prepareUSDT(spec *ebpf.CollectionSpec, wanted bool) {
	table := &usdtTable{open: map[*USDT]bool{}}
	if prog := spec.Programs[loopwatchProgUsdt]; prog != nil {
		if !wanted {
			delete(spec.Programs, loopwatchProgUsdt)
			p.usdt = table
			return
		}
		table.programs = slices.Repeat([]string{loopwatchProgUsdt}, abi.UsdtSites)
		if features.HaveBPFLinkUprobeMulti() == nil {
			prog.AttachType = ebpf.AttachTraceUprobeMulti
			table.multi = true
		}
	}
	for n := 0; ; n++ {
		name := fmt.Sprintf("usdt_%d", n)
		if spec.Programs[name] == nil {
			break
		}
		if wanted {
			table.programs = append(table.programs, name)
		} else {
			delete(spec.Programs, name)
		}
	}
	p.usdt = table
}

// USDT is one kind of probe attached to one binary, for every process that has it mapped, now or
// later. Close detaches it.
type USDT struct {
	probes *Probes
	places []uint32
	groups []io.Closer // what ends something first
}

// HasUSDT reports whether sites are all that a kind takes.
func HasUSDT(kind USDTKind, sites []usdt.Site) bool {
	for _, group := range usdtProbes[kind] {
		if !slices.ContainsFunc(sites, func(s usdt.Site) bool { return s.Name == group.name }) {
			return false
		}
	}
	return true
}

// AttachUSDT attaches the probes of one kind to the file at path, where sites are. It returns
// ErrNoUSDT where the file has none of them, or only a part. It is safe for concurrent use.
func (p *Probes) AttachUSDT(path string, kind USDTKind, sites []usdt.Site) (_ *USDT, err error) {
	p.usdt.mu.Lock()
	defer p.usdt.mu.Unlock()
	if p.usdt.closed {
		return nil, errClosed
	}
	u := &USDT{probes: p}
	defer func() {
		if err != nil {
			_ = u.detach()
		}
	}()
	executable, err := link.OpenExecutable(path)
	if err != nil {
		return nil, err
	}
	for _, group := range usdtProbes[kind] {
		of := slices.DeleteFunc(slices.Clone(sites), func(s usdt.Site) bool { return s.Name != group.name })
		if len(of) == 0 {
			return nil, ErrNoUSDT
		}
		if err := u.attach(executable, group.probe, of); err != nil {
			return nil, fmt.Errorf("attach to probe %s: %w", group.name, err)
		}
	}
	p.usdt.open[u] = true
	return u, nil
}

// attach attaches one probe to all its sites.
func (u *USDT) attach(executable *link.Executable, probe uint32, sites []usdt.Site) error {
	p := u.probes
	var links closers
	u.groups = append(u.groups, &links)
	var options link.UprobeMultiOptions
	for _, s := range sites {
		place, ok := p.usdt.take()
		if !ok {
			return ErrFullUSDT
		}
		u.places = append(u.places, place)
		k := abi.UsdtSite{Probe: probe}
		if len(s.Args) > 0 {
			a := s.Args[0]
			k.Arg.How, k.Arg.Size, k.Arg.Reg, k.Arg.Offset = uint8(a.How), a.Size, a.Register, a.Offset
			k.Arg.IsSigned = uint8(flag(a.Signed))
		}
		if err := p.coll.Maps[loopwatchMapUsdtSites].Put(place, &k); err != nil {
			return fmt.Errorf("enter site: %w", err)
		}
		if p.usdt.multi {
			options.Addresses = append(options.Addresses, s.Offset)
			options.RefCtrOffsets = append(options.RefCtrOffsets, s.SemaphoreOffset)
			options.Cookies = append(options.Cookies, uint64(place))
			continue
		}
		one := link.UprobeOptions{Address: s.Offset, RefCtrOffset: s.SemaphoreOffset}
		name := p.usdt.programs[place]
		if name == loopwatchProgUsdt {
			one.Cookie = uint64(place)
		}
		l, err := executable.Uprobe("", p.coll.Programs[name], &one)
		if err != nil {
			return err
		}
		links = append(links, l)
	}
	if p.usdt.multi {
		l, err := executable.UprobeMulti(nil, p.coll.Programs[loopwatchProgUsdt], &options)
		if err != nil {
			return err
		}
		links = append(links, l)
	}
	return nil
}

// Hits returns how often the sites were hit on each CPU, in any process, by a clock that does not
// start at 0.
func (u *USDT) Hits() ([]uint64, error) {
	var total []uint64
	for _, place := range u.places {
		var perCPU []uint64
		if err := u.probes.coll.Maps[loopwatchMapUsdtHits].Lookup(place, &perCPU); err != nil {
			return nil, fmt.Errorf("read hits of a probe: %w", err)
		}
		if total == nil {
			total = make([]uint64, len(perCPU))
		}
		for cpu, n := range perCPU {
			total[cpu] += n
		}
	}
	return total, nil
}

// CloseStart detaches what begins something, so that what has begun may still end before Close. It is safe
// for concurrent use.
func (u *USDT) CloseStart() error {
	u.probes.usdt.mu.Lock()
	defer u.probes.usdt.mu.Unlock()
	return u.detachStart()
}

func (u *USDT) detachStart() error {
	var err error
	for len(u.groups) > 1 {
		last := len(u.groups) - 1
		err = errors.Join(err, u.groups[last].Close())
		u.groups = u.groups[:last]
	}
	return err
}

// Close detaches the probes. It is safe for concurrent use, but not beside Hits.
func (u *USDT) Close() error {
	u.probes.usdt.mu.Lock()
	defer u.probes.usdt.mu.Unlock()
	return u.detach()
}

func (u *USDT) detach() error {
	err := u.detachStart()
	for _, g := range u.groups {
		err = errors.Join(err, g.Close())
	}
	u.groups = nil
	u.probes.usdt.free = append(u.probes.usdt.free, u.places...)
	u.places = nil
	delete(u.probes.usdt.open, u)
	return err
}

// close detaches all that is attached. last says that nothing may be attached any more.
func (t *usdtTable) close(last bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = t.closed || last
	for u := range t.open {
		_ = u.detach()
	}
}

func (t *usdtTable) take() (uint32, bool) {
	if n := len(t.free); n > 0 {
		place := t.free[n-1]
		t.free = t.free[:n-1]
		return place, true
	}
	if int(t.next) >= len(t.programs) {
		return 0, false
	}
	t.next++
	return t.next - 1, true
}

type closers []io.Closer

func (c *closers) Close() error {
	var err error
	for _, one := range *c {
		err = errors.Join(err, one.Close())
	}
	*c = nil
	return err
}

// Account reads what the interpreter's own probes have said so far in the period that t is in, see wire.AccountAt. It is nil
// where they have said nothing. It may change while it is read.
func (p *Probes) Account(t Thread, now, offNS, waitedOrStoppedNS int64) (*wire.Account, error) {
	if t.slot == NoSlot {
		return nil, nil
	}
	var k abi.UsdtAccount
	if err := p.coll.Maps[loopwatchMapUsdtAccounts].Lookup(t.slot, &k); err != nil {
		return nil, fmt.Errorf("read what the probes said: %w", err)
	}
	if int(k.Tid) != t.TID || k.Period != t.Period {
		return nil, nil
	}
	return wire.AccountAt(&k, now, offNS, waitedOrStoppedNS), nil
}
