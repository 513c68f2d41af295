// SPDX-License-Identifier: Apache-2.0

package model

// Known says of a blocker what an ignore file and a baseline have on it.
type Known struct {
	Rule     string   `json:"rule,omitempty"`     // the first rule that matches, as "ignore.txt:3"
	Why      string   `json:"why,omitempty"`      // what that rule says of itself
	Baseline Standing `json:"baseline,omitempty"` // empty without a baseline
}

// Standing is how a blocker compares to a baseline.
type Standing string

const (
	StandingKnown Standing = "known" // it is in the baseline, and not worse
	StandingWorse Standing = "worse"
	StandingNew   Standing = "new"
)

// LetThrough reports whether the blocker is no reason to fail.
func (k *Known) LetThrough() bool { return k != nil && (k.Rule != "" || k.Baseline == StandingKnown) }

// LetThrough sums up what an ignore file and a baseline let through.
type LetThrough struct {
	Blockers  int         `json:"blockers"`
	Blocks    int64       `json:"blocks"`
	TotalNS   int64       `json:"total_ns"`
	Rules     int         `json:"rules"` // there are, in the ignore file
	Unmatched []Unmatched `json:"unmatched,omitempty"`
}

// Unmatched is a rule that matched nothing.
type Unmatched struct {
	Rule string `json:"rule"` // where it stands, as "ignore.txt:3"
	Text string `json:"text"`
}
