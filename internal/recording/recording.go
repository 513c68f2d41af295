// SPDX-License-Identifier: Apache-2.0

// Package recording saves what blocks are judged from. In goes a Header and the evidence on one active period after the
// other; out comes a file: one JSON object a line, the header first, compressed with zstd. A Reader gives the same back.
// It takes a file for hostile: whatever is in it, memory and lengths are bounded.
package recording

import (
	"time"

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

// Bounds of a recording.
const (
	maxHeader  = 64 << 10
	maxLine    = 128 << 20 // evidence on one period, with its samples
	maxRest    = 1 << 20   // the same without its samples
	maxSample  = 1 << 20
	maxSamples = 16 << 10 // of one period
	maxTotal   = 16 << 30 // all lines together
)
