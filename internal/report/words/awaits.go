// SPDX-License-Identifier: Apache-2.0

package words

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/loopwatch/loopwatch/internal/model"
)

// WaitGroup is the waiting of tasks for the same in one place, by whatever chain.
type WaitGroup struct {
	Wait      *model.Wait
	Contended bool
	TaskNS    int64
	Mean      float64
	Most      int                // tasks at once
	Chains    []*model.TaskWaits // largest first
}

// WaitGroups are the waits of a profile by place, largest first, those counted elsewhere left out.
type WaitGroups struct {
	Contended, Idle     []WaitGroup
	ContendedNS, IdleNS int64
}

// enoughContended is how many tasks have to wait for one another on average for that to be the answer.
const enoughContended = 0.01

// GroupWaits groups the waits of a profile.
func GroupWaits(p *model.WaitProfile) (out WaitGroups) {
	type key struct {
		on, call  string
		place     model.Frame
		contended bool
	}
	var order []key
	groups := make(map[key]*WaitGroup)
	for i := range p.Waits {
		w := &p.Waits[i]
		if w.Elsewhere {
			continue
		}
		k := key{on: string(w.On), call: w.Call, contended: w.Contended}
		if w.Place != nil {
			k.place = *w.Place
		}
		g := groups[k]
		if g == nil {
			g = &WaitGroup{Wait: w.Wait(), Contended: w.Contended}
			groups[k] = g
			order = append(order, k)
		}
		if g.Wait.Holder == nil {
			g.Wait.Holder = w.Holder
		}
		g.TaskNS += w.TaskNS
		g.Mean += w.TasksMean
		g.Most = max(g.Most, w.PlaceMax)
		g.Chains = append(g.Chains, w)
	}
	for _, k := range order {
		g := groups[k]
		if g.Contended {
			out.Contended, out.ContendedNS = append(out.Contended, *g), out.ContendedNS+g.TaskNS
		} else {
			out.Idle, out.IdleNS = append(out.Idle, *g), out.IdleNS+g.TaskNS
		}
	}
	largest := func(a, b WaitGroup) int { return cmp.Compare(b.TaskNS, a.TaskNS) }
	slices.SortStableFunc(out.Contended, largest)
	slices.SortStableFunc(out.Idle, largest)
	return out
}

// WaitAnswer is the answer of a profile of awaits. Its strings are safe to print.
type WaitAnswer struct {
	Summary   string
	Sums      string // what all waiting came to, "" where there was none
	Hint      string // what to do where nothing was found; empty otherwise
	Contended bool
}

// AnswerOfWaits says where tasks waited most for one another, or that they did not, or why there is nothing to say.
func AnswerOfWaits(p *model.WaitProfile, g WaitGroups) (a WaitAnswer) {
	pythons, maybe := Unwatched(p.Unsupported)
	window := p.EndedNS - p.StartedNS
	switch {
	case p.Processes == 0 && pythons > 0:
		a.Summary, a.Hint = fmt.Sprintf("Nothing can be said: %s can be watched.", NoneOf(pythons)), Mostly(p.Unsupported)
		return a
	case p.Processes == 0:
		a.Summary, a.Hint = "No Python process was found.", "Start the program to be watched, or name its process with --pid."
		if maybe > 0 {
			a.Hint += " " + Counted(int64(maybe), "processes") + " could not be read, see below."
		}
		return a
	case len(p.Loops) == 0:
		a.Summary = fmt.Sprintf("No loop of asyncio ran in %s.", Pythons(p.Processes))
		a.Hint = "Other loops, such as trio's or gevent's, have no tasks that can be read; 'loopwatch report' watches them, too."
		return a
	case len(g.Contended) == 0 && len(g.Idle) == 0:
		a.Summary = fmt.Sprintf("No task waited in %s.", Plural(int64(len(p.Loops)), "loop"))
		return a
	}
	a.Sums = fmt.Sprintf("%s in %s: %s for one another, %s for work, peers or time.", TaskSeconds(g.ContendedNS+g.IdleNS),
		HumanDuration(window), SecondsOf(g.ContendedNS), SecondsOf(g.IdleNS))
	if a.Contended = window <= 0 && len(g.Contended) > 0 || len(g.Contended) > 0 && float64(g.ContendedNS) >= enoughContended*float64(window); a.Contended {
		a.Summary = "Tasks waited most " + WaitSummary(&g.Contended[0], g.ContendedNS) + "."
		return a
	}
	largest, total := g.Idle, g.IdleNS
	if len(largest) == 0 {
		largest, total = g.Contended, g.ContendedNS
	}
	a.Summary = "No tasks waited for one another; they waited most " + WaitSummary(&largest[0], total) + "."
	return a
}

// WaitSummary says what tasks waited for in a place: "for a lock at get cache.py:41: 62 % of 3,140 task-seconds, held by …, 37 at once at most".
func WaitSummary(g *WaitGroup, total int64) string {
	text := WaitingFor(g.Wait)
	if g.Wait.Place != nil {
		text += " at " + CulpritName(g.Wait.Place)
	}
	text += ": " + ShareOf(g.TaskNS, total) + " of " + TaskSeconds(total)
	if held := HeldBy(g.Wait); held != "" {
		text += ", " + held
	}
	return text + fmt.Sprintf(", %d at once at most", g.Most)
}

// TaskSeconds writes waiting time summed over tasks: "3,140 task-seconds".
func TaskSeconds(ns int64) string { return SecondsOf(ns) + " task-seconds" }

// SecondsOf writes task-seconds as a number alone: "3,140".
func SecondsOf(ns int64) string {
	s := float64(ns) / 1e9
	switch {
	case s < 10:
		return strconv.FormatFloat(s, 'f', 2, 64)
	case s < 100:
		return strconv.FormatFloat(s, 'f', 1, 64)
	}
	text := strconv.FormatFloat(s, 'f', 0, 64)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// ShareOf writes which part of a total something is: "62 %".
func ShareOf(ns, total int64) string {
	if total <= 0 {
		return "0 %"
	}
	share := 100 * float64(ns) / float64(total)
	if share > 0 && share < 0.5 {
		return "<1 %"
	}
	return strconv.FormatFloat(share, 'f', 0, 64) + " %"
}
