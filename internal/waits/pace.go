// SPDX-License-Identifier: Apache-2.0

package waits

import (
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"
)

// mostCPU is which part of a CPU may be taken, the start included: it leaves something for the last sample and the report. An
// observation that is shorter than charged has the start besides, which would leave too little for samples.
const (
	mostCPU = 0.008
	charged = 30 * time.Second
)

// shareFor returns which part of a CPU samples may take in an observation of such a length, where the start took so much.
func shareFor(duration, start time.Duration) float64 {
	if duration < charged {
		return mostCPU
	}
	return mostCPU - min(mostCPU/2, start.Seconds()/duration.Seconds())
}

// pace says when the next sample is due: at random around the interval asked for, so that samples do not keep step with what a program does
// periodically, and later where that would take too much CPU time.
type pace struct {
	interval time.Duration
	share    float64 // of a CPU that may be taken
	began    time.Time
	cpu      func() time.Duration // used so far
	usedAt   time.Duration        // when it began
	late     time.Duration        // for which samples were put off for want of CPU time
}

func newPace(rate int, share float64, now time.Time, cpu func() time.Duration) *pace {
	return &pace{interval: time.Second / time.Duration(rate), share: share, began: now, cpu: cpu, usedAt: cpu()}
}

func (p *pace) elapsed(now time.Time) time.Duration { return now.Sub(p.began) }

// next returns how long to wait for the next sample.
func (p *pace) next(now time.Time) time.Duration {
	wanted := p.interval/2 + time.Duration(rand.Int64N(int64(p.interval)))
	earned := time.Duration(float64(p.cpu()-p.usedAt)/p.share) - p.elapsed(now)
	if earned <= wanted {
		return wanted
	}
	p.late += earned - wanted
	return earned
}

// skipped returns how many samples were not taken for want of CPU time.
func (p *pace) skipped() int64 { return int64(p.late / p.interval) }

// cpuTime returns the CPU time that this process has used.
func cpuTime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t) != nil {
		return 0 // cannot fail on Linux with this clock
	}
	return time.Duration(t.Nano())
}
