// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/loopwatch/loopwatch/internal/abi"
	"github.com/loopwatch/loopwatch/internal/probes/host"
	"github.com/loopwatch/loopwatch/internal/usdt"
)

// Hooks lists them all.
func Hooks() (out []host.Hook) {
	for _, h := range hooks {
		out = append(out, h.name)
	}
	return append(out, host.Uprobes)
}

// A Trial is what came of trying one hook.
type Trial struct {
	Hook host.Hook
	Err  *host.Error // nil where it works
	What string      // what is attached there, and how
}

// TryHooks loads the programs of each hook alone, attaches them as an observation does, and detaches
// them: what Open may use, one by one. It takes privileges, see Requirements.
func TryHooks() ([]Trial, error) {
	_, _ = host.Memlock()
	types := btf.NewCache()
	spec, loops, err := loadObject(types)
	if err != nil {
		return nil, err
	}
	o := Options{}
	o.setDefaults()
	if err := configure(spec, o); err != nil {
		return nil, err
	}
	var out []Trial
	for _, h := range hooks {
		t := Trial{Hook: h.name, What: h.what}
		if err := tryHook(loader{spec, types}, h, o); err != nil {
			t.Err = host.Explain(h.name, err)
		}
		if h.name == host.Tracing {
			t.What += fmt.Sprintf("; stacks of up to %d frames: no bpf_loop before kernel 5.17", abi.WalkMaxUnrolled)
			if loops {
				t.What = h.what + fmt.Sprintf("; stacks of up to %d,%03d frames, by bpf_loop", abi.WalkMax/1000, abi.WalkMax%1000)
			}
		}
		out = append(out, t)
	}
	t := Trial{Hook: host.Uprobes}
	multi, err := tryUprobes(loader{spec, types})
	switch {
	case err != nil:
		t.Err = host.Explain(host.Uprobes, err)
	case multi:
		t.What = "with their counters, one link for many sites"
	default:
		t.What = "with their counters, one link for each site"
	}
	return append(out, t), nil
}

// tryHook loads and attaches one hook's programs alone.
func tryHook(l loader, h hook, o Options) error {
	p := &Probes{loops: o.Loops, usdt: &usdtTable{}}
	defer p.detach()
	if err := p.loadOnly(l, h.programs); err != nil {
		return err
	}
	if h.name == host.Iterator {
		return p.Seed(SeedRest) // it finds nothing: no process is entered
	}
	return h.attach(p, o)
}

func (p *Probes) loadOnly(l loader, programs []string) (err error) {
	if p.coll, err = l.maps(); err != nil {
		return err
	}
	return l.load(p.coll, programs)
}

// raised is a counter such as a probe's, here one of loopwatch itself. It begins with something,
// or it would not be in the file.
var raised = [8]uint16{1: 0x10ad}

// site is where a probe is put to try it. Nothing calls it.
//
//go:noinline
func site() { runtime.Gosched() }

// tryUprobes puts a probe with a counter on loopwatch itself, and sees whether the counter goes up.
func tryUprobes(l loader) (multi bool, err error) {
	code, err := offsetOf(reflect.ValueOf(site).Pointer())
	if err != nil {
		return false, err
	}
	counter, err := offsetOf(reflect.ValueOf(&raised).Pointer())
	if err != nil {
		return false, err
	}
	p := &Probes{usdt: &usdtTable{}}
	defer p.detach()
	l.spec = l.spec.Copy()
	p.prepareUSDT(l.spec, true)
	var programs []string
	for name, prog := range l.spec.Programs {
		if prog.Type == ebpf.Kprobe {
			programs = append(programs, name)
		}
	}
	if err := p.loadOnly(l, programs); err != nil {
		return false, err
	}
	u, err := p.AttachUSDT("/proc/self/exe", USDTAudit, []usdt.Site{{Name: string(USDTAudit), Offset: code, SemaphoreOffset: counter}})
	if err != nil {
		return false, err
	}
	up := raised[0] // attaching is what raises it
	if err := u.Close(); err != nil {
		return false, err
	}
	if up == 0 {
		return false, errors.New("the kernel attaches probes and does not raise their counters")
	}
	return p.usdt.multi, nil
}

// offsetOf returns where in loopwatch's own file an address of it is.
func offsetOf(addr uintptr) (uint64, error) {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	e, err := elf.NewFile(f)
	if err != nil {
		return 0, err
	}
	for _, s := range e.Progs {
		if at := uint64(addr); s.Type == elf.PT_LOAD && at >= s.Vaddr && at-s.Vaddr < s.Filesz {
			return s.Off + at - s.Vaddr, nil
		}
	}
	return 0, errors.New("loopwatch's own file is not as it was built")
}
