// SPDX-License-Identifier: Apache-2.0

package text

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
	"github.com/loopwatch/loopwatch/internal/report/words"
)

// FoldWindow is for how long blocks like one just printed are counted instead.
const FoldWindow = 10 * time.Second

// maxFolds bounds the blockers folded at one time; blocks of others are printed one by one.
const maxFolds = 4096

// Stream prints blocks as they happen, a line each. What repeats is folded: after the first of
// its kind, blocks of the same loop, cause and culprit are counted for FoldWindow and then get one
// line together. A block going on that is like those before has a line when it outlasts them. It is
// not safe for concurrent use.
type Stream struct {
	w     io.Writer
	o     Options
	folds map[foldKey]*fold
	going map[model.LoopID]*going
}

type foldKey struct {
	model.LoopID
	model.BlockerKey
}

type fold struct {
	line    streamLine // of the last block
	until   time.Time
	count   int64
	sum     int64
	max     int64
	longest int64 // of all of its kind, those before the window, too
}

// going is a block that goes on.
type going struct {
	key     foldKey
	line    streamLine
	start   time.Time
	startNS int64
	period  uint64
	printed bool
}

// is reports whether a block that has ended is this one. Where it began may have become clearer since.
func (g *going) is(b *model.Block) bool {
	return g.startNS == b.StartNS || g.period != 0 && g.period == b.Period && max(g.startNS, b.StartNS)-min(g.startNS, b.StartNS) <= b.DurationNS/2
}

// streamLine is what a line says of a block besides its time. Notes say the same, the longest first.
type streamLine struct {
	cause, loop, culprit string
	notes                []string
}

// NewStream returns a stream that prints to w.
func NewStream(w io.Writer, o Options) *Stream {
	return &Stream{w: w, o: o, folds: make(map[foldKey]*fold), going: make(map[model.LoopID]*going)}
}

const streamClock = time.TimeOnly + ".000"

// Write takes a block that began at start, of the loop l.
func (s *Stream) Write(b *model.Block, l model.Loop, start, now time.Time) error {
	id := model.LoopID{PID: b.PID, TID: b.TID}
	key := foldKey{id, b.Key()}
	line := streamLine{word(string(b.Cause)), words.LoopName(l), words.CulpritName(b.Culprit), []string{streamNote(b, s.o.Verbose)}}
	f := s.folds[key]
	folded := f != nil && now.Before(f.until)
	if b.Ongoing {
		g := &going{key, line, start, b.StartNS, b.Period, !folded || len(s.going) >= maxFolds}
		s.going[id] = g
		if !g.printed {
			return nil
		}
		return s.print(start, words.BoundedDuration(b.DurationNS, true), line)
	}
	g := s.going[id]
	printed := g != nil && g.printed && g.is(b)
	if g != nil && (g.is(b) || b.StartNS > g.startNS) { // or else one before it in its period has ended
		delete(s.going, id)
	}
	if folded {
		f.longest = max(f.longest, b.DurationNS)
		if !printed && !b.AtLeast { // the line of many says how long they took at most
			f.line = line
			f.count++
			f.sum += b.DurationNS
			f.max = max(f.max, b.DurationNS)
			return nil
		}
	} else if len(s.folds) < maxFolds {
		s.folds[key] = &fold{until: now.Add(FoldWindow), longest: b.DurationNS}
	}
	return s.print(start, words.BoundedDuration(b.DurationNS, b.AtLeast), line)
}

// streamNote is the evidence behind a block's cause, after what ≥ means where its line has one, and where verbose who had to wait.
func streamNote(b *model.Block, verbose bool) string {
	var parts []string
	switch {
	case b.Ongoing:
		parts = append(parts, "still going on")
	case b.AtLeast:
		parts = append(parts, "had begun before the start")
	}
	if b.InWait {
		parts = append(parts, "in its wait")
	}
	waited := ""
	if verbose && b.Delayed != nil {
		waited = words.Waited(b.Delayed)
	}
	for _, part := range []string{words.OfPeriod(b), words.Evidence(b.Detail), waited} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ", ")
}

// Flush prints what was folded and whose time has come, all of it where the end has, and the blocks
// that outlast those they are like. To be called several times a second.
func (s *Stream) Flush(now time.Time, end bool) error {
	if err := s.flushGoing(now, end); err != nil {
		return err
	}
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
		return cmp.Or(cmp.Compare(y.sum, x.sum), x.key.LoopID.Compare(y.key.LoopID), cmp.Compare(x.line.culprit, y.line.culprit))
	})
	for _, d := range all {
		span := max(int(min(FoldWindow, FoldWindow-d.until.Sub(now)).Round(time.Second)/time.Second), 1)
		line := d.line
		line.notes = []string{
			fmt.Sprintf("x%d in the last %d s, %s in all", d.count, span, words.HumanDuration(d.sum)),
			fmt.Sprintf("x%d in the last %d s", d.count, span),
			fmt.Sprintf("x%d in %d s", d.count, span),
			fmt.Sprintf("x%d", d.count),
		}
		if err := s.print(now, "≤ "+words.HumanDuration(d.max), line); err != nil {
			return err
		}
		*d.fold = fold{until: now.Add(FoldWindow), longest: d.longest}
	}
	return nil
}

func (s *Stream) flushGoing(now time.Time, end bool) error {
	for _, g := range s.going {
		took := now.Sub(g.start)
		if f := s.folds[g.key]; g.printed || !end && f != nil && int64(took) <= f.longest {
			continue
		}
		g.printed = true
		if err := s.print(g.start, words.BoundedDuration(int64(took), true), g.line); err != nil {
			return err
		}
	}
	return nil
}

// Columns of a line. Where there are fewer than wideStream, the loop has less room.
const (
	wideStream                   = 120
	tookColumn, causeColumn      = 9, 10
	loopColumn, narrowLoopColumn = 24, 18
	leastNote                    = 12 // columns worth having of evidence
)

// print writes one line. Where that is too long, what the note says goes first, and who was blocked and
// by what stays.
func (s *Stream) print(at time.Time, took string, l streamLine) error {
	clock, loopWidth := at.Format(streamClock), loopColumn
	if s.o.Width > 0 && s.o.Width < wideStream {
		clock, loopWidth = at.Format(time.TimeOnly), narrowLoopColumn
		l.loop = safetext.Middle(l.loop, loopWidth)
	}
	text := fmt.Sprintf("%s  %s  %s  %s  ", clock, safetext.Pad(took, tookColumn), safetext.Pad(l.cause, causeColumn), safetext.Pad(l.loop, loopWidth))
	text += fitStream(l, s.o.Width-safetext.Width(text), s.o.Width > 0)
	if s.o.Width > 0 {
		text = safetext.Cut(text, s.o.Width)
	}
	_, err := fmt.Fprintln(s.w, strings.TrimRight(text, " "))
	return err
}

// fitStream returns culprit and note, in so many columns if that is bounded.
func fitStream(l streamLine, room int, bounded bool) string {
	const gap = "  "
	whole := l.culprit
	if l.notes[0] != "" {
		whole += gap + l.notes[0]
	}
	if !bounded || safetext.Width(whole) <= room {
		return whole
	}
	if len(l.notes) == 1 { // evidence: the beginning says most
		if left := room - safetext.Width(l.culprit+gap); left >= leastNote {
			return l.culprit + gap + safetext.Cut(l.notes[0], left)
		}
		return safetext.Middle(l.culprit, room)
	}
	for _, note := range l.notes {
		if text := l.culprit + gap + note; safetext.Width(text) <= room {
			return text
		}
	}
	last := l.notes[len(l.notes)-1]
	return safetext.Middle(l.culprit, room-safetext.Width(gap+last)) + gap + last
}
