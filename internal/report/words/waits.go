// SPDX-License-Identifier: Apache-2.0

package words

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/loopwatch/loopwatch/internal/contention"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
)

// WaitingFor says what a task waits for: "waits for a lock", without the verb, or "asleep".
func WaitingFor(w *model.Wait) string {
	switch w.On {
	case model.WaitQueue:
		switch _, method, _ := strings.Cut(w.Call, "."); method {
		case "put":
			return "for room in a queue"
		case "join":
			return "for a queue to be done"
		}
		return "for an item of a queue"
	case model.WaitExecutor:
		if w.Queued {
			return "for a free thread"
		}
		return "for a call in a thread"
	case model.WaitTask:
		return "for another task"
	case model.WaitStream:
		return "for a peer"
	case model.WaitSleep:
		return "asleep"
	case model.WaitEvent:
		return "for an event"
	}
	return "for a " + safetext.Cut(safetext.Line(string(w.On)), 20)
}

// HeldBy says who holds what tasks wait for: "held by refresh cache.py:88 (Task-3)", "" where that is not known.
func HeldBy(w *model.Wait) string {
	if w.Holder == nil {
		return ""
	}
	name := safetext.Middle(safetext.Line(cmp.Or(w.Holder.Name, w.Holder.Task)), 40)
	if len(w.Holder.Frames) == 0 {
		return "held by " + name
	}
	return fmt.Sprintf("held by %s (%s)", CulpritName(&w.Holder.Frames[0]), name)
}

// OfPool says what a pool does: "4 of 4 threads busy, 50 calls queued".
func OfPool(e *model.Executor) string {
	of := fmt.Sprint(e.Threads)
	if e.Max != nil && *e.Max != e.Threads {
		of = fmt.Sprintf("%d (of at most %d)", e.Threads, *e.Max)
	}
	s := fmt.Sprintf("%d of %s %s busy", e.Busy, of, thingsOf(e))
	switch {
	case e.Queued == nil:
	case *e.Queued == 0:
		s += ", nothing queued"
	default:
		s += ", " + Plural(int64(*e.Queued), "call") + " queued"
	}
	return s
}

func thingsOf(e *model.Executor) string {
	if e.Kind == model.ExecutorProcesses {
		return "processes"
	}
	return "threads"
}

// PoolName returns "thread pool crunchers", "default thread pool asyncio".
func PoolName(e *model.Executor) string {
	kind := "thread pool"
	if e.Kind == model.ExecutorProcesses {
		kind = "process pool"
	}
	if e.Default {
		kind = "default " + kind
	}
	return kind + " " + safetext.Middle(safetext.Line(cmp.Or(e.Name, "?")), 40)
}

// ShortOf says what is short: "37 tasks wait for a lock at get cache.py:41, held by refresh cache.py:88 (Task-3)", "23 calls wait
// for one of the 4 threads of the thread pool crunchers, busy in crunch app.py:12".
func ShortOf(s *contention.Shortage) string {
	if e := s.Executor; e != nil {
		text := fmt.Sprintf("%s %s for one of the %d %s of the %s", Plural(int64(s.Waiting), "call"), verb(s.Waiting), e.Threads, thingsOf(e), PoolName(e))
		if len(e.Work) > 0 && e.Work[0].Frame != nil {
			text += ", busy in " + CulpritName(e.Work[0].Frame)
		}
		return text
	}
	return Plural(int64(s.Wait.Tasks), "task") + " " + verb(s.Wait.Tasks) + " " + WaitLine(s.Wait)
}

func verb(n int) string {
	if n == 1 {
		return "waits"
	}
	return "wait"
}

// WaitLine says what some tasks wait for, where, and who holds it: "for a lock at get cache.py:41, held by …".
func WaitLine(w *model.Wait) string {
	text := WaitingFor(w)
	if w.Place != nil {
		text += " at " + CulpritName(w.Place)
	}
	if held := HeldBy(w); held != "" {
		text += ", " + held
	}
	return text
}

// Deadlock says in a line which tasks wait for one another: "2 tasks wait for each other for ever: A at a.py:5, B at b.py:9".
func Deadlock(circle []model.DeadlockMember) string {
	var members []string
	const most = 5
	for _, m := range circle[:min(len(circle), most)] {
		text := safetext.Middle(safetext.Line(cmp.Or(m.Name, m.Task)), 40)
		if m.Frame != nil {
			text += " at " + CulpritName(m.Frame)
		}
		members = append(members, text)
	}
	if rest := len(circle) - most; rest > 0 {
		members = append(members, fmt.Sprintf("and %d more", rest))
	}
	who := fmt.Sprintf("%d tasks wait for one another", len(circle))
	if len(circle) == 1 {
		who = "a task waits for what it holds itself"
	}
	return "deadlock: " + who + ": " + strings.Join(members, ", ")
}
