// SPDX-License-Identifier: Apache-2.0

package words

import (
	"time"

	"github.com/loopwatch/loopwatch/internal/model"
)

// StartOf returns when a block began by the wall clock, "" where that is not known: as it was set when the block ended, or else
// as it was when the observation began.
func StartOf(r *model.Report, b *model.Block) string {
	const layout = "15:04:05.000"
	if at, err := time.Parse(time.RFC3339Nano, b.StartedAt); err == nil {
		return at.Format(layout)
	}
	started, err := time.Parse(time.RFC3339Nano, r.StartedAt)
	if err != nil {
		return ""
	}
	return started.Add(time.Duration(b.StartNS - r.StartedNS)).Format(layout)
}
