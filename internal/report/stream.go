// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/loopwatch/loopwatch/internal/report/safetext"
)

// FoldWindow is for how long blocks like one just printed are counted instead.
const FoldWindow = 10 * time.Second

// maxFolds bounds the blockers folded at one time; blocks of others are printed one by one.
const maxFolds = 4096

// Stream prints blocks as they happen, a line each. What repeats is folded: after the first of
// its kind, blocks of the same loop, cause and culprit are counted for FoldWindow and then get one
// line together. It is not safe for concurrent use.
type Stream struct {
	w     io.Writer
	o     TextOptions
	folds map[foldKey]*fold
}

type foldKey struct {
	LoopID
	BlockerKey
}

type fold struct {
	line  streamLine // of the last block
	until time.Time
	count int64
	sum   int64
	max   int64
}

// streamLine is what a line says of a block besides its time.
type streamLine struct{ cause, loop, culprit, evidence string }

// NewStream returns a stream that prints to w.
func NewStream(w io.Writer, o TextOptions) *Stream {
	return &Stream{w: w, o: o, folds: make(map[foldKey]*fold)}
}

// Write takes a block that began at start, of the loop l.
func (s *Stream) Write(b *Block, l Loop, start, now time.Time) error {
	key := foldKey{LoopID{b.PID, b.TID}, b.Key()}
	line := streamLine{word(string(b.Cause)), loopName(l), culpritName(b.Culprit), evidence(b.Detail)}
	if f := s.folds[key]; f != nil && now.Before(f.until) {
		if !b.Ongoing {
			f.line = line
			f.count++
			f.sum += b.DurationNS
			f.max = max(f.max, b.DurationNS)
		}
		return nil
	}
	took := humanDuration(b.DurationNS)
	if b.Ongoing {
		took = "≥ " + took
	} else if len(s.folds) < maxFolds {
		s.folds[key] = &fold{until: now.Add(FoldWindow)}
	}
	return s.print(start.Format(time.TimeOnly+".000"), took, line)
}

// Flush prints what was folded and whose time has come; all of it where the end has.
func (s *Stream) Flush(now time.Time, end bool) error {
	type due struct {
		key foldKey
		*fold
	}
	var all []due
	for key, f := range s.folds {
		if !end && now.Before(f.until) {
			continue
		}
		if f.count == 0 {
			delete(s.folds, key)
			continue
		}
		all = append(all, due{key, f})
	}
	slices.SortFunc(all, func(x, y due) int {
		return cmp.Or(cmp.Compare(y.sum, x.sum), compareLoops(x.key.LoopID, y.key.LoopID), cmp.Compare(x.line.culprit, y.line.culprit))
	})
	for _, d := range all {
		span := min(FoldWindow, FoldWindow-d.until.Sub(now)).Round(time.Second)
		line := d.line
		line.evidence = fmt.Sprintf("x%d in the last %d s, %s in all", d.count, max(int(span/time.Second), 1), humanDuration(d.sum))
		if err := s.print(now.Format(time.TimeOnly+".000"), "≤ "+humanDuration(d.max), line); err != nil {
			return err
		}
		*d.fold = fold{until: now.Add(FoldWindow)}
	}
	return nil
}

// print writes one line, cut to the width where there is one.
func (s *Stream) print(clock, took string, l streamLine) error {
	text := fmt.Sprintf("%s  %s  %s  %s  %s", clock, safetext.Pad(took, 9), safetext.Pad(l.cause, 10), safetext.Pad(l.loop, 24), l.culprit)
	if l.evidence != "" {
		text += "  " + l.evidence
	}
	if s.o.Width > 0 {
		text = safetext.Middle(text, s.o.Width)
	}
	_, err := fmt.Fprintln(s.w, text)
	return err
}
