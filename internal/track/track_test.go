// SPDX-License-Identifier: Apache-2.0

package track

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/loopwatch/loopwatch/internal/attachment"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/python"
	"github.com/loopwatch/loopwatch/internal/report/words"
	"github.com/loopwatch/loopwatch/internal/symbolize"
)

// Whatever is counted is explained.
func TestEveryReasonHasWords(t *testing.T) {
	for _, reason := range slices.Concat(probes.CounterNames(), []string{
		symbolize.ReasonUnreadable, symbolize.ReasonReused, symbolize.ReasonUnknown, symbolize.ReasonTemplate, python.ReasonParentCut,
		reasonLoops, reasonEnded, reasonOrphan, reasonSamples, reasonRecord, reasonKernel, reasonOpaque, reasonHolders,
		reasonUnjudged, reasonUnnamable, attachment.ReasonUnreadable, attachment.ReasonFailed, attachment.ReasonSites, attachment.ReasonOften, reasonTasks, reasonUnnamed,
	}) {
		assert.NotEmpty(t, words.ReasonText(reason), reason)
	}
}
