// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/abi"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
	"github.com/loopwatch/loopwatch/internal/usdt"
)

const namesAt = 0x20000

// A hit is one of a probe, at a moment.
type hit struct {
	at    int64
	probe uint32
	value int64
}

func (h hit) script() string {
	site := abi.UsdtSite{Probe: h.probe, Arg: abi.UsdtArg{How: uint8(usdt.Constant), Size: 8, Offset: h.value}}
	return fmt.Sprintf("now %d site %d %s hit %d\n", h.at, h.probe, hexOf(&site), h.probe)
}

// What a thread does in a nanosecond.
const (
	runs = iota
	sleeps
	waitsForCPU
	isStopped
)

// A span is a collection or an import of a made-up period.
type span struct {
	phase        wire.Phase
	from, to     int64
	within       []wire.Phase // what it is inside of, the outermost first
	generation   int64
	collected    int64
	module       string
	begin, ended int // the hits that begin and end it
}

// A script of a period: properly nested spans, audit events, and time off the CPU between the hits.
type scenario struct {
	r      *rand.Rand
	start  int64
	now    int64
	states []uint8 // by nanosecond since the start
	hits   []hit
	spans  []*span
	audits []string // of each hit, the event, or ""
	names  []string
	script strings.Builder // names in the process's memory
}

// name puts a string into the process's memory and returns its address, always the same.
func (s *scenario) name(text string) int64 {
	for i, known := range s.names {
		if known == text {
			return namesAt + int64(i)*256
		}
	}
	s.names = append(s.names, text)
	at := namesAt + int64(len(s.names)-1)*256
	fmt.Fprintf(&s.script, "memory %d %x\n", at, append([]byte(text), 0))
	return at
}

func (s *scenario) pass() {
	for range s.r.IntN(4) {
		state := uint8(s.r.IntN(4))
		for range s.r.IntN(30) {
			s.states = append(s.states, state)
			s.now++
		}
	}
}

func (s *scenario) hit(probe uint32, value int64, audit string) int {
	s.pass()
	s.hits = append(s.hits, hit{s.now, probe, value})
	s.audits = append(s.audits, audit)
	return len(s.hits) - 1
}

// fill makes some spans and events inside of others.
func (s *scenario) fill(within []wire.Phase) {
	for range s.r.IntN(4) {
		switch s.r.IntN(3) {
		case 0:
			for range 1 + s.r.IntN(2)*s.r.IntN(15) {
				event := fmt.Sprintf("event.%d.%s", s.r.IntN(9), strings.Repeat("x", s.r.IntN(2)*30))
				s.hit(abi.UsdtAudit, s.name(event), event)
			}
		case 1:
			in := false // the interpreter does not collect while it collects
			for _, r := range within {
				in = in || r == wire.PhaseGC
			}
			if in {
				continue
			}
			g := &span{phase: wire.PhaseGC, within: within, generation: int64(s.r.IntN(3)), collected: int64(s.r.IntN(1000))}
			s.spans = append(s.spans, g)
			g.begin = s.hit(abi.UsdtGcStart, g.generation, "")
			g.from = s.now
			s.fill(append(within[:len(within):len(within)], wire.PhaseGC))
			g.ended = s.hit(abi.UsdtGcDone, g.collected, "")
			g.to = s.now
		case 2:
			if len(within) > 4 {
				continue
			}
			i := &span{phase: wire.PhaseImport, within: within, module: fmt.Sprintf("module%d.%s", s.r.IntN(50), strings.Repeat("y", s.r.IntN(2)*80))}
			s.spans = append(s.spans, i)
			i.begin = s.hit(abi.UsdtImportStart, s.name(i.module), "")
			i.from = s.now
			s.fill(append(within[:len(within):len(within)], wire.PhaseImport))
			i.ended = s.hit(abi.UsdtImportDone, 1, "")
			i.to = s.now
		}
	}
}

// count counts the nanoseconds from one moment to another in some states.
func (s *scenario) count(from, to int64, states ...uint8) (n int64) {
	for _, state := range s.states[from-s.start : to-s.start] {
		for _, wanted := range states {
			if state == wanted {
				n++
			}
		}
	}
	return n
}

// cut is a string as it is kept with so many bytes.
func cut(text string, size int) string { return text[:min(len(text), size-1)] }

// want works out what the account of the period is to be if it ends at `end`, after so many hits.
func (s *scenario) want(period uint64, end int64, hits int) *wire.Account {
	w := &wire.Account{TID: loopTID, Period: period, Phases: map[wire.Phase]wire.PhaseTime{}}
	var done []*span // in the order in which they end, those that are cut short last: collections, then imports
	for i := range hits {
		for _, p := range s.spans {
			if p.ended == i {
				done = append(done, p)
			}
		}
	}
	for _, phase := range []wire.Phase{wire.PhaseGC, wire.PhaseImport} {
		for _, p := range s.spans {
			if p.phase == phase && p.begin < hits && p.ended >= hits {
				p.to, p.collected = end, 0
				done = append(done, p)
			}
		}
	}
	for _, p := range done {
		ns := p.to - p.from
		if len(p.within) == 0 {
			sum := w.Phases[p.phase]
			sum.NS += ns
			sum.OffNS += s.count(p.from, p.to, sleeps, waitsForCPU, isStopped)
			sum.WaitedOrStoppedNS += s.count(p.from, p.to, waitsForCPU, isStopped)
			w.Phases[p.phase] = sum
		}
		if p.phase == wire.PhaseGC {
			w.GCs++
			w.GCNS += ns
			w.GCCollected += p.collected
			if ns >= w.GCMaxNS {
				w.GCMaxNS, w.GCGeneration = ns, int(p.generation)
			}
			continue
		}
		nested := false
		for _, r := range p.within {
			nested = nested || r == wire.PhaseImport
		}
		if nested {
			continue
		}
		w.Imports++
		w.ImportNS += ns
		if ns >= w.ImportMaxNS {
			w.ImportMaxNS, w.Module = ns, cut(p.module, 64)
		}
	}
	for phase, sum := range w.Phases {
		if sum.NS == 0 {
			delete(w.Phases, phase)
		}
	}
	at := map[string]int{}
	for _, event := range s.audits[:hits] {
		if event == "" {
			continue
		}
		i, known := at[event]
		switch {
		case known:
			w.Audits[i].Count++
		case len(w.Audits) == 8:
			w.AuditsMore++
		default:
			at[event] = len(w.Audits)
			w.Audits = append(w.Audits, wire.AuditEvent{Name: cut(event, 32), Count: 1})
		}
	}
	return w
}

// The account of a period is that of a second look at every nanosecond of it, however it ends.
func TestNativePhases(t *testing.T) {
	n := newNative(t, false)
	r := rand.New(rand.NewPCG(7, 8))
	seen := 0
	for range 150 {
		script := strings.Builder{}
		script.WriteString("threshold 1\n" + loopThread(false, 1000, 3))
		now, period := int64(1000), uint64(3)
		var want []wire.Event
		names := []string(nil)
		for range 3 {
			s := &scenario{r: r, start: now, now: now, names: names}
			for range r.IntN(3) { // what began before the period
				s.hit([]uint32{abi.UsdtGcDone, abi.UsdtImportDone}[r.IntN(2)], 5, "")
			}
			s.fill(nil)
			s.pass()
			names = s.names
			hits := r.IntN(len(s.hits) + 1)
			if r.IntN(2) == 0 {
				hits = len(s.hits)
			}
			end := s.now
			if hits < len(s.hits) {
				end = s.hits[hits].at
			}
			script.WriteString(s.script.String())
			off := func(at int64) string {
				return fmt.Sprintf("off %d %d %d\n", s.count(s.start, at, sleeps, waitsForCPU, isStopped), s.count(s.start, at, waitsForCPU), s.count(s.start, at, isStopped))
			}
			for _, h := range s.hits[:hits] {
				script.WriteString(off(h.at) + h.script())
			}
			end++ // a block has a length
			s.states = append(s.states[:end-1-s.start:end-1-s.start], runs)
			script.WriteString(off(end) + fmt.Sprintf("now %d wait %d\n", end, loopFD))
			if hits > 0 {
				want = append(want, s.want(period, end, hits))
				seen += len(s.spans)
			}
			want = append(want, &wire.Block{
				PID: loopPID, TID: loopTID, Period: period, Start: s.start, End: end, OffNS: s.count(s.start, end, sleeps, waitsForCPU, isStopped),
				WaitedNS: s.count(s.start, end, waitsForCPU), StoppedNS: s.count(s.start, end, isStopped),
			})
			now, period = end+10, period+1
			script.WriteString(fmt.Sprintf("now %d return -1\n", now))
		}
		require.Equal(t, want, events(t, n.run(t, script.String())))
	}
	assert.Greater(t, seen, 200)
}

// A collection whose end was lost does not count; the next one does.
func TestNativeLostEndOfCollection(t *testing.T) {
	n := newNative(t, false)
	script := "threshold 1\n" + loopThread(false, 1000, 3) +
		hit{1100, abi.UsdtGcStart, 0}.script() + hit{1500, abi.UsdtGcStart, 2}.script() + hit{1600, abi.UsdtGcDone, 9}.script() +
		fmt.Sprintf("now 2000 wait %d\n", loopFD)
	assert.Equal(t, &wire.Account{
		TID: loopTID, Period: 3, Phases: map[wire.Phase]wire.PhaseTime{wire.PhaseGC: {NS: 100}}, GCs: 1, GCNS: 100, GCMaxNS: 100, GCGeneration: 2, GCCollected: 9,
	}, events(t, n.run(t, script))[0])
}

// A name that cannot be read is empty.
func TestNativeUnreadableNames(t *testing.T) {
	n := newNative(t, false)
	script := "threshold 1\n" + loopThread(false, 1000, 3) +
		hit{1100, abi.UsdtImportStart, 0xdead}.script() + hit{1200, abi.UsdtAudit, 0xdead}.script() + hit{1600, abi.UsdtImportDone, 1}.script() +
		fmt.Sprintf("now 2000 wait %d\n", loopFD)
	assert.Equal(t, &wire.Account{
		TID: loopTID, Period: 3, Phases: map[wire.Phase]wire.PhaseTime{wire.PhaseImport: {NS: 500}}, Imports: 1, ImportNS: 500, ImportMaxNS: 500,
		Audits: []wire.AuditEvent{{Count: 1}},
	}, events(t, n.run(t, script))[0])
}
