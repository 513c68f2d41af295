// SPDX-License-Identifier: Apache-2.0

package block

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
)

// Whatever the kernel says, however little of it fits together, a split adds up to its period,
// no part of it is negative, and what the kernel counted exactly stays what it was.
func TestShareAddsUpWhatever(t *testing.T) {
	causes := []model.Cause{model.CauseSleep, model.CauseNet, model.CauseStopped, model.CauseGIL, model.CauseImport}
	chance := rand.New(rand.NewPCG(1, 2))
	upTo := func(n int64) int64 { return chance.Int64N(n + 1) }
	for range 20_000 {
		duration := upTo(1000 * ms)
		p := period{start: upTo(1 << 40), whole: chance.IntN(3) > 0}
		p.end = p.start + duration
		p.offNS = upTo(duration)
		p.waitedNS = upTo(p.offNS)
		p.throttledNS = upTo(p.waitedNS)
		p.stoppedNS = upTo(p.offNS - p.waitedNS)
		sound := chance.IntN(4) > 0
		if !sound {
			p.offNS, p.waitedNS, p.throttledNS, p.stoppedNS = upTo(2*duration), upTo(2*duration), upTo(2*duration), upTo(2*duration)
		}
		for range chance.IntN(12) {
			s := &Sample{AtNS: p.start + upTo(duration), NS: upTo(duration), CPUNS: upTo(duration), Kind: Tick}
			x := piece{sample: s, cause: model.CauseCPU}
			if chance.IntN(2) == 0 {
				s.Kind, x.cause = Off, causes[chance.IntN(len(causes))]
			}
			p.pieces = append(p.pieces, x)
		}
		split, shared := p.share()
		require.Equal(t, duration, sum(split), "%+v", p)
		for cause, ns := range split {
			require.Positive(t, ns, "%s of %+v", cause, p)
		}
		if sound {
			require.Equal(t, p.throttledNS, split[model.CauseThrottled])
			require.Equal(t, p.waitedNS-p.throttledNS, split[model.CauseRunqueue])
			require.Equal(t, p.stoppedNS, split[model.CauseStopped])
		}
		for _, x := range shared {
			require.GreaterOrEqual(t, x.ns, int64(0), "%+v", p)
		}
	}
}
