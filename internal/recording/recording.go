// SPDX-License-Identifier: Apache-2.0

// Package recording saves what a report is made from. In goes a Header, the evidence on one active period after the other,
// and notes of what cannot be judged from that; out comes a file: one JSON object a line, the header first, compressed with
// zstd. A Reader gives the same back. It takes a file for hostile: whatever is in it, memory and lengths are bounded.
package recording

import (
	"time"

	"github.com/loopwatch/loopwatch/internal/block"
	"github.com/loopwatch/loopwatch/internal/model"
)

// Schema names the format and its version.
const Schema = "loopwatch.recording/v1"

// Header says where and when a recording was made. The numbers of syscalls in it are those of Host.Arch.
type Header struct {
	Schema      string     `json:"schema"`
	Host        model.Host `json:"host"`
	ThresholdNS int64      `json:"threshold_ns"`
	StartedAt   time.Time  `json:"started_at"`
	StartedNS   int64      `json:"started_ns"` // the same moment, CLOCK_MONOTONIC
}

// Entry is one line of a recording: one of the two is set.
type Entry struct {
	Evidence *block.Evidence
	Note     *Note
}

// Note says what cannot be judged from the evidence: one of its fields is set. End is that of the last line of a recording that is
// complete.
type Note struct {
	Block       *Block             `json:"of_block,omitempty"`
	Loop        *model.Loop        `json:"of_loop,omitempty"`
	Unsupported *model.Unsupported `json:"of_unsupported,omitempty"`
	End         *End               `json:"of_end,omitempty"`
}

func (n *Note) empty() bool { return *n == Note{} }

// Block is what is known of a block after it was judged. It comes when the block is reported, in the order of the reports.
type Block struct {
	TID       int            `json:"tid"`
	StartNS   int64          `json:"start_ns"`
	StartedAt string         `json:"started_at"`
	Delayed   *model.Delayed `json:"delayed,omitempty"`
}

// End is what is known of the observation as a whole when it has ended.
type End struct {
	EndedNS   int64      `json:"ended_ns"`
	Processes int        `json:"processes"` // Python processes watched
	Lost      model.Lost `json:"lost"`
}

// Bounds of a recording.
const (
	maxHeader  = 64 << 10
	maxLine    = 128 << 20 // evidence on one period, with its samples
	maxRest    = 1 << 20   // the same without its samples
	maxSample  = 1 << 20
	maxSamples = 16 << 10 // of one period
	maxTotal   = 16 << 30 // all lines together
)
