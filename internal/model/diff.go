// SPDX-License-Identifier: Apache-2.0

package model

// SchemaDiff is the schema of a Diff.
const SchemaDiff = "loopwatch.diff/v1"

// Verdict says what has become of a blocker.
type Verdict string

const (
	VerdictNew    Verdict = "new"
	VerdictGone   Verdict = "gone"
	VerdictWorse  Verdict = "worse"
	VerdictBetter Verdict = "better"
	VerdictSame   Verdict = "same"
	// VerdictUnclear says that too little was seen to tell.
	VerdictUnclear Verdict = "unclear"
	// VerdictHost says that the host held the loop back: that is no matter of the program's, and not judged.
	VerdictHost Verdict = "host"
)

// Bad reports whether a blocker that has come to this is a regression.
func (v Verdict) Bad() bool { return v == VerdictNew || v == VerdictWorse }

// Diff compares two reports.
type Diff struct {
	Schema      string        `json:"schema"`
	ThresholdNS int64         `json:"threshold_ns"` // of both
	Before      DiffSide      `json:"before"`
	After       DiffSide      `json:"after"`
	Blockers    []DiffBlocker `json:"blockers"` // what has become worse first
}

// DiffSide is one of the two reports.
type DiffSide struct {
	StartedAt string  `json:"started_at"`
	Hostname  string  `json:"hostname"`
	Loops     int     `json:"loops"`
	LoopNS    int64   `json:"loop_ns"` // time for which loops were watched, all together
	Blocks    int64   `json:"blocks"`
	BlockedNS int64   `json:"blocked_ns"`
	Part      float64 `json:"part"` // of LoopNS, blocked
	Lost      Lost    `json:"lost"`
}

// DiffBlocker is a blocker of either report. Blockers are the same where cause, function and file are, whatever the line.
type DiffBlocker struct {
	BlockerName
	Verdict Verdict `json:"verdict"`
	// Often and Long are how many times as often it blocks and how many times as long a block of it takes on average. They
	// are absent where one of the reports has no block of it.
	Often  *Ratio      `json:"often,omitempty"`
	Long   *Ratio      `json:"long,omitempty"`
	Before DiffFigures `json:"before"`
	After  DiffFigures `json:"after"`
	Stack  []Frame     `json:"stack"` // of its longest block, of the report after where it is there; innermost first
}

// Ratio is a figure after over the same before.
type Ratio struct {
	Ratio float64 `json:"ratio"`
	// P is the probability of a difference like this or greater where nothing has changed.
	P float64 `json:"p"`
	// Significant says that P is small enough, and the ratio far enough from 1.
	Significant bool `json:"significant"`
}

// DiffFigures are those of a blocker in one of the reports.
type DiffFigures struct {
	Count   int64   `json:"count"`
	TotalNS int64   `json:"total_ns"`
	MaxNS   int64   `json:"max_ns"`
	MeanNS  int64   `json:"mean_ns"`
	PerHour float64 `json:"per_hour"` // blocks in an hour of loop time
	Part    float64 `json:"part"`     // of the loop time, blocked by it
	Lines   []int   `json:"lines"`    // of its culprit, in ascending order; 16 at most
}

// BlockerName names a blocker over several reports. Function and File are those of its culprit, empty where it has none.
type BlockerName struct {
	Cause    Cause  `json:"cause"`
	Function string `json:"function"`
	File     string `json:"file"`
}

// Name returns the name of the blocker that b belongs to.
func (b *Block) Name() BlockerName { return b.Key().name() }

// Name returns the name of b.
func (b *Blocker) Name() BlockerName { return b.Key().name() }

func (k BlockerKey) name() BlockerName { return BlockerName{k.Cause, k.Function, k.File} }
