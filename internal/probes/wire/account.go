// SPDX-License-Identifier: Apache-2.0

package wire

import "github.com/loopwatch/loopwatch/internal/abi"

// Phase is what a thread is in the middle of, as the interpreter's own probes say.
type Phase uint32

const (
	NoPhase     = Phase(abi.PhaseNone)
	PhaseGC     = Phase(abi.PhaseGc)
	PhaseImport = Phase(abi.PhaseImport)
)

// PhaseTime is time spent in a phase. Times are nanoseconds.
type PhaseTime struct {
	NS                int64
	OffNS             int64 // of it off the CPU
	WaitedOrStoppedNS int64 // of that, runnable or stopped
}

// AuditEvent is an event of sys.audit and how often it came.
type AuditEvent struct {
	Name  string
	Count int64
}

// Account is what the interpreter's own probes said in one active period. It comes before its Block.
type Account struct {
	TID    int
	Period uint64
	// Phases has the time in each, a collection within an import being import.
	Phases map[Phase]PhaseTime

	// Collections, those within imports too.
	GCs          int64
	GCNS         int64
	GCMaxNS      int64
	GCGeneration int // of the longest
	GCCollected  int64

	// Imports, those within others not counted.
	Imports     int64
	ImportNS    int64
	ImportMaxNS int64
	Module      string // whose import took longest; cut where it is as long as the kernel keeps it

	Audits     []AuditEvent
	AuditsMore int64 // further events there was no room for
}

func (*Account) event() {}

// AccountAt returns what an account says at the time now, what goes on then included. offNS is the time off the CPU in that
// period up to now, waitedOrStoppedNS that of it runnable or stopped.
func AccountAt(k *abi.UsdtAccount, now, offNS, waitedOrStoppedNS int64) *Account {
	since := func(then uint64) int64 { return max(now-int64(then), 0) }
	out := AccountOf(k)
	if r := Phase(k.Phase); r != NoPhase && int(r) <= len(k.Phases) {
		sum := out.Phases[r]
		sum.NS += since(k.Since)
		sum.OffNS += max(offNS-int64(k.OffNs), 0)
		sum.WaitedOrStoppedNS += max(waitedOrStoppedNS-int64(k.WaitedOrStoppedNs), 0)
		out.Phases[r] = sum
	}
	if k.GcSince != 0 {
		ns := since(k.GcSince)
		out.GCs++
		out.GCNS += ns
		if ns >= out.GCMaxNS {
			out.GCMaxNS, out.GCGeneration = ns, int(k.GcGeneration)
		}
	}
	if k.ImportSince != 0 {
		ns := since(k.ImportSince)
		out.Imports++
		out.ImportNS += ns
		if ns >= out.ImportMaxNS {
			out.ImportMaxNS, out.Module = ns, text(k.Module[:])
		}
	}
	return out
}

// AccountOf returns what an account says.
func AccountOf(k *abi.UsdtAccount) *Account {
	out := &Account{
		TID: int(k.Tid), Period: k.Period, Phases: map[Phase]PhaseTime{},
		GCs: int64(k.Gcs), GCNS: int64(k.GcNs), GCMaxNS: int64(k.GcMaxNs), GCGeneration: int(k.GcMaxGeneration), GCCollected: k.GcCollected,
		Imports: int64(k.Imports), ImportNS: int64(k.ImportNs), ImportMaxNS: int64(k.ImportMaxNs), Module: text(k.MaxModule[:]),
		AuditsMore: int64(k.AuditsMore),
	}
	for i, r := range k.Phases {
		if r.Ns > 0 {
			out.Phases[Phase(i+1)] = PhaseTime{int64(r.Ns), int64(r.OffNs), int64(r.WaitedOrStoppedNs)}
		}
	}
	for i := range k.Audits {
		if a := &k.Audits[i]; a.Count > 0 {
			out.Audits = append(out.Audits, AuditEvent{text(a.Name[:]), int64(a.Count)})
		}
	}
	return out
}

// text reads a string that ends with a NUL or fills its room.
func text(b []int8) string {
	out := make([]byte, 0, len(b))
	for _, c := range b {
		if c == 0 {
			break
		}
		out = append(out, byte(c))
	}
	return string(out)
}
