// SPDX-License-Identifier: Apache-2.0

package tui

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"github.com/loopwatch/loopwatch/internal/live"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
	"github.com/loopwatch/loopwatch/internal/report/words"
)

// longNow is from when on a block going on matters more than all there were lately.
const longNow = time.Second

// answer says who is blocked worst: now, or else in the window. bad tells that somebody is. The
// text is safe to print.
func answer(s *live.View, w live.Window) (text string, bad bool) {
	if len(s.Loops) == 0 {
		return nothing(s), false
	}
	var now, most, longest *live.Loop
	blocked := 0
	for i := range s.Loops {
		l := &s.Loops[i]
		if l.State == live.Blocked {
			blocked++
			if now == nil || cmp.Or(cmp.Compare(l.For, now.For), compareIDs(now, l)) > 0 {
				now = l
			}
		}
		if f := &l.Figures[w]; f.Blocks > 0 && (most == nil || cmp.Or(cmp.Compare(f.Blocked, most.Figures[w].Blocked), compareIDs(most, l)) > 0) {
			most = l
		}
		if longest == nil || cmp.Or(cmp.Compare(l.Figures[w].Max, longest.Figures[w].Max), compareIDs(longest, l)) > 0 {
			longest = l
		}
	}
	switch {
	case now != nil && (now.For >= longNow || most == nil):
		text = fmt.Sprintf("%s is blocked, for %s now: %s.", name(now), blockedTime(now), blame(now.Block.Cause, now.Block.Culprit, ", "))
		if blocked > 1 {
			verb := "is"
			if blocked > 2 {
				verb = "are"
			}
			text += fmt.Sprintf(" So %s %s.", verb, plural(blocked-1, "other loop"))
		}
		return text, true
	case most != nil:
		f := &most.Figures[w]
		by := ""
		if f.Worst != nil {
			by = ", by " + blame(f.Worst.Cause, f.Worst.Culprit, ", ")
		}
		also := "Nothing is blocked right now."
		if now != nil {
			also = fmt.Sprintf("Right now: %s, for %s.", name(now), blockedTime(now))
		}
		return fmt.Sprintf("%s is blocked most, %s of %s%s. %s", name(most), words.Percent(f.BlockedShare()), windowName(w, s), by, also), true
	}
	text = fmt.Sprintf("No loop was blocked for %s or more in %s.", compact(s.Threshold), windowName(w, s))
	if m := longest.Figures[w].Max; m > 0 {
		text += fmt.Sprintf(" Longest active period: %s, %s.", compact(m), name(longest))
	}
	return text, false
}

// nothing says why there is no loop to show.
func nothing(s *live.View) string {
	pythons, _ := words.Unwatched(s.Unsupported)
	switch {
	case s.Processes == 1:
		return "No event loop yet: the one Python process here has not waited in one. Waiting for it."
	case s.Processes > 1:
		return fmt.Sprintf("No event loop yet: none of the %d Python processes here has waited in one. Waiting.", s.Processes)
	case pythons == 1:
		return "No event loop can be watched: the one Python process here cannot be (u says why). Waiting for others."
	case pythons > 1:
		return fmt.Sprintf("No event loop can be watched: none of the %d Python processes here can be (u says why). Waiting for others.", pythons)
	}
	return "No Python process here yet. Waiting for one."
}

func compareIDs(x, y *live.Loop) int {
	return cmp.Or(cmp.Compare(x.PID, y.PID), cmp.Compare(x.TID, y.TID))
}

// name returns what the loop is called. It is safe to print.
func name(l *live.Loop) string { return words.LoopName(l.Loop) }

// blame names a cause and the line to blame, where there is one, with sep between.
func blame(cause model.Cause, culprit *model.Frame, sep string) string {
	c := safetext.Cut(safetext.Line(string(cause)), 12)
	if culprit == nil {
		return c
	}
	return c + sep + words.CulpritName(culprit)
}

// blockedTime returns for how long a loop has been blocked: 3.21 s, or ≥ 3.21 s.
func blockedTime(l *live.Loop) string {
	if l.Block != nil && l.Block.AtLeast {
		return "≥ " + compact(l.For)
	}
	return compact(l.For)
}

func windowName(w live.Window, s *live.View) string {
	age := s.At.Sub(s.Started)
	switch {
	case w == live.TenSeconds && age < 10*time.Second, w == live.Minute && age < time.Minute:
		return "the first " + compact(max(age.Round(time.Second), time.Second))
	}
	switch w {
	case live.LastInterval:
		return "the last " + compact(s.Every)
	case live.TenSeconds:
		return "the last 10 s"
	case live.Minute:
		return "the last minute"
	}
	return "all the time"
}

// compact writes a duration in at most seven columns: 123 µs, 12.3 ms, 4.21 s, 12m05s, 3h07m,
// 12d03h.
func compact(d time.Duration) string {
	switch s := int64(d.Round(time.Second) / time.Second); {
	case d < 59500*time.Millisecond:
		return words.HumanDuration(int64(max(d, 0)))
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%02dm", s/3600, s%3600/60)
	default:
		return fmt.Sprintf("%dd%02dh", s/86400, s%86400/3600)
	}
}

// rate writes a number of things a second in at most six columns.
func rate(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 9.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v < 9999.5:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v < 999_950:
		return strconv.FormatFloat(v/1e3, 'f', 1, 64) + "k"
	}
	return strconv.FormatFloat(v/1e6, 'f', 1, 64) + "M"
}

func plural(n int, thing string) string { return words.Plural(int64(n), thing) }
