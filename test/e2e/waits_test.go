// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/test/judge"
)

const (
	tracefs = "/sys/kernel/tracing"
	// leastQueued is the shortest time without a CPU that the witness remembers.
	leastQueued = 100 * time.Microsecond
)

// waits notes, independently of loopwatch, when the threads of some programs were outside epoll:
// the kernel's own tracer (tracefs) writes down each entry and return. Where the two tell the same
// of a period, it was as long as loopwatch says, planned or not.
type waits struct {
	dir string

	mu     sync.Mutex
	within map[int]string     // by thread id: the epoll object it waits for
	since  map[wait]int64     // when a thread returned from its last wait for an object
	active map[int][]interval // by thread id: the active periods
	out    map[int]int64      // since when a thread that could run has had no CPU
	queued map[int][]interval // by thread id: how long it had none, if at least leastQueued
	ended  map[int][]interval // by thread id: from its last wait for an object to its end
	lost   int                // times that the tracer lost events
	marks  int                // written into the trace by catchUp
	marked int                // and read from it
}

// wait is a thread and the descriptor of the epoll object it waits for. A wait for another object
// than the loop's own is part of the loop's active period.
type wait struct {
	tid  int
	epfd string
}

// newWaits starts the tracer; it ends with the test.
func newWaits(t testing.TB) *waits {
	t.Helper()
	if _, err := os.Stat(filepath.Join(tracefs, "instances")); errors.Is(err, os.ErrNotExist) {
		require.NoError(t, unix.Mount("tracefs", tracefs, "tracefs", 0, ""), "mount tracefs: the kernel's own tracer is the witness")
	}
	dropInstances()
	w := emptyWaits()
	w.dir = filepath.Join(tracefs, "instances", fmt.Sprintf("%s%d-%d", instancePrefix, os.Getpid(), time.Now().UnixNano()))
	require.NoError(t, os.Mkdir(w.dir, 0o755))
	t.Cleanup(func() { _ = os.Remove(w.dir) })
	w.set(t, "trace_clock", "mono")
	w.set(t, "options/event-fork", "1")
	w.set(t, "buffer_size_kb", "4096")
	w.set(t, "set_event_pid", "\n") // nobody yet
	for _, wait := range []string{"epoll_wait", "epoll_pwait", "epoll_pwait2"} {
		for _, edge := range []string{"enter", "exit"} {
			event := fmt.Sprintf("events/syscalls/sys_%s_%s/enable", edge, wait)
			if _, err := os.Stat(filepath.Join(w.dir, event)); err == nil { // 5.10 has no epoll_pwait2
				w.set(t, event, "1")
			}
		}
	}
	w.set(t, "events/sched/sched_process_exit/enable", "1")
	w.set(t, "events/sched/sched_switch/enable", "1")
	w.set(t, "events/sched/sched_waking/enable", "1")
	pipe, err := os.OpenFile(filepath.Join(w.dir, "trace_pipe"), os.O_RDONLY|unix.O_NONBLOCK, 0)
	require.NoError(t, err)
	ended := make(chan struct{})
	go func() { defer close(ended); w.read(pipe) }()
	t.Cleanup(func() {
		_ = pipe.Close()
		<-ended
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.lost > 0 {
			t.Logf("the kernel's tracer lost events %d times", w.lost)
		}
	})
	return w
}

func emptyWaits() *waits {
	return &waits{
		within: map[int]string{}, since: map[wait]int64{}, active: map[int][]interval{}, ended: map[int][]interval{},
		out: map[int]int64{}, queued: map[int][]interval{},
	}
}

const instancePrefix = "loopwatch-e2e-"

// dropInstances removes what tests that were killed have left.
func dropInstances() {
	left, _ := filepath.Glob(filepath.Join(tracefs, "instances", instancePrefix+"*"))
	for _, dir := range left {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), instancePrefix), "-")
		if _, err := os.Stat("/proc/" + pid); err != nil {
			_ = os.Remove(dir)
		}
	}
}

func (w *waits) set(t testing.TB, name, value string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(w.dir, name), []byte(value), 0), "the kernel's tracer is the witness")
}

// follow has the tracer write down the waits of a process and what it starts.
func (w *waits) follow(pid int) error {
	f, err := os.OpenFile(filepath.Join(w.dir, "set_event_pid"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("trace process %d: %w", pid, err)
	}
	defer f.Close()
	if _, err := fmt.Fprintln(f, pid); err != nil {
		return fmt.Errorf("trace process %d: %w", pid, err)
	}
	return nil
}

// A line of trace_pipe: "python3-812  [001] ..... 12.345678: sys_epoll_wait(epfd: 3, …" and
// "… 12.345678: sys_epoll_wait -> 0x1", or "… 12.345678: sched_process_exit: …" at a thread's end. A
// program chooses what stands before the first "-".
var traced = regexp.MustCompile(`-(\d+)\s+\[\d+\] \S+\s+(\d+)\.(\d{6}): (?:sys_epoll_p?wait2?(?:\(epfd: (\w+),| ->)|(sched_process_exit): )`)

// switched matches a change of the thread that a CPU runs: "12.345678: sched_switch: prev_comm=python3
// prev_pid=812 prev_prio=120 prev_state=R+ ==> next_comm=a b next_pid=5 next_prio=120".
var switched = regexp.MustCompile(`\s(\d+)\.(\d{6}): sched_switch: prev_comm=.* prev_pid=(\d+) prev_prio=-?\d+ prev_state=(\S+) ==> .* next_pid=(\d+) next_prio=`)

// woken matches that a thread is made runnable: "12.345678: sched_waking: comm=a b pid=812 prio=120 target_cpu=001".
var woken = regexp.MustCompile(`\s(\d+)\.(\d{6}): sched_waking: comm=.* pid=(\d+) prio=`)

// read follows the trace until it is closed.
func (w *waits) read(pipe *os.File) {
	lines := bufio.NewScanner(pipe)
	for {
		for lines.Scan() {
			w.line(lines.Text())
		}
		// Closed, or nothing to read and not pollable.
		if err := lines.Err(); err == nil || !errors.Is(err, unix.EAGAIN) {
			return
		}
		time.Sleep(20 * time.Millisecond)
		lines = bufio.NewScanner(pipe)
	}
}

func (w *waits) line(line string) {
	if strings.Contains(line, ": sched_switch: ") {
		w.switched(line)
		return
	}
	if m := woken.FindStringSubmatch(line); m != nil {
		w.woken(m)
		return
	}
	m := traced.FindStringSubmatch(line)
	w.mu.Lock()
	defer w.mu.Unlock()
	if m == nil {
		if _, n, ok := strings.Cut(line, "tracing_mark_write: "); ok {
			w.marked, _ = strconv.Atoi(strings.TrimSpace(n))
		}
		if strings.Contains(line, "LOST") {
			w.lost++
			clear(w.within)
			clear(w.since)
			clear(w.out)
		}
		return
	}
	tid, _ := strconv.Atoi(m[1])
	at := traceTime(m[2], m[3])
	epfd, exit := m[4], m[5] != ""
	if exit {
		for last, from := range w.since {
			if last.tid == tid {
				w.ended[tid] = append(w.ended[tid], interval{from, at})
				delete(w.since, last)
			}
		}
		return
	}
	if epfd == "" {
		if epfd, ok := w.within[tid]; ok {
			w.since[wait{tid, epfd}] = at
		}
		delete(w.within, tid)
		return
	}
	if from, ok := w.since[wait{tid, epfd}]; ok {
		w.active[tid] = append(w.active[tid], interval{from, at})
	}
	delete(w.since, wait{tid, epfd})
	w.within[tid] = epfd
}

// switched notes that a thread that could run has lost its CPU, and that it has got one again.
func (w *waits) switched(line string) {
	m := switched.FindStringSubmatch(line)
	if m == nil {
		return
	}
	at := traceTime(m[1], m[2])
	prev, _ := strconv.Atoi(m[3])
	next, _ := strconv.Atoi(m[5])
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.out, prev) // woken before it slept
	if strings.HasPrefix(m[4], "R") {
		w.out[prev] = at
	}
	if from, ok := w.out[next]; ok {
		delete(w.out, next)
		if at-from >= int64(leastQueued) {
			w.queued[next] = append(w.queued[next], interval{from, at})
		}
	}
}

// woken notes that a thread could run from now on.
func (w *waits) woken(m []string) {
	tid, _ := strconv.Atoi(m[3])
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.out[tid]; !ok {
		w.out[tid] = traceTime(m[1], m[2])
	}
}

// traceTime returns the time of a line of the trace in ns, from its seconds and its microseconds.
func traceTime(seconds, micros string) int64 {
	s, _ := strconv.ParseInt(seconds, 10, 64)
	us, _ := strconv.ParseInt(micros, 10, 64)
	return s*1e9 + us*1e3
}

// catchUp waits until everything has been read that the tracer has written down so far.
func (w *waits) catchUp() {
	if w.dir == "" { // a test of this very type
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.marks++
	if err := os.WriteFile(filepath.Join(w.dir, "trace_marker"), []byte(strconv.Itoa(w.marks)), 0); err != nil {
		return // it has ended, and has been read to the end
	}
	for end := time.Now().Add(patience); w.marked < w.marks && time.Now().Before(end); {
		w.mu.Unlock()
		time.Sleep(time.Millisecond)
		w.mu.Lock()
	}
}

// agree reports whether two observers may have noted the same moment in the life of a thread at a and at b. They
// look one after the other, and between the two the thread can lose its CPU, or the machine its own: that time is not
// theirs.
func agree(a, b int64, queued []interval) bool {
	a, b = min(a, b), max(a, b)
	apart := b - a
	for _, q := range queued {
		apart -= judge.Overlap(q.start, q.end, a, b)
	}
	return apart-stalls.stalled(a, b) <= judge.Exactness
}

// began reports whether a period that returned from its wait at seen may have begun at start as loopwatch has it: earlier,
// by the time for which the thread had no CPU in the wait, wherever in there that was. periods are the thread's others: the
// wait began where the one before ended.
func began(seen, start int64, periods, queued []interval) bool {
	if agree(seen, start, queued) {
		return true
	}
	entered := int64(0)
	for _, p := range periods {
		if p.end <= seen {
			entered = max(entered, p.end)
		}
	}
	late, had := seen-start, int64(0)
	for _, q := range queued {
		had += judge.Overlap(q.start, q.end, entered, seen)
	}
	return late > 0 && late-had-stalls.stalled(entered, seen) <= judge.Exactness
}

// Saw makes it a judge.Witness.
func (w *waits) Saw(tid int, start, end int64) bool {
	return w.saw(tid, start, end) || w.sawLast(tid, start, end)
}

// Nearest makes it a judge.Witness, too.
func (w *waits) Nearest(tid int, start, end int64) (judge.Span, bool) {
	return w.spans(tid).Nearest(tid, start, end)
}

// Within makes it a judge.Witness, too.
func (w *waits) Within(tid int, start, end int64) (judge.Span, bool) {
	return w.spans(tid).Within(tid, start, end)
}

// outside reports whether a thread was outside its wait at a time, or had no CPU to leave it.
func (w *waits) outside(tid int, at int64) bool {
	for _, table := range []map[int][]interval{w.active, w.ended, w.queued} {
		if slices.ContainsFunc(w.periods(table, tid), func(p interval) bool {
			return p.start <= at+judge.Exactness && at <= p.end+judge.Exactness
		}) {
			return true
		}
	}
	return false
}

// spans returns the active periods of a thread.
func (w *waits) spans(tid int) (seen judge.Seen) {
	if w == nil {
		return nil
	}
	for _, p := range append(w.periods(w.active, tid), w.periods(w.ended, tid)...) {
		seen = append(seen, judge.Span{TID: tid, StartNS: p.start, EndNS: p.end})
	}
	return seen
}

// saw reports whether the kernel saw an active period of a thread that began at start and ended with a wait at
// end.
func (w *waits) saw(tid int, start, end int64) bool {
	if w == nil {
		return false
	}
	seen := w.periods(w.active, tid)
	queued := w.periods(w.queued, tid)
	return slices.ContainsFunc(seen, func(a interval) bool {
		overlap := a.start < end && a.end > start // there are very many of a loop that spins
		return overlap && agree(a.end, end, queued) &&
			(began(a.start, start, seen, queued) || joined(a, start, seen, queued))
	})
}

// joined reports whether a period and the one before it may be one block that began at start: the thread had no CPU for at least half of
// both, and did not sleep between them.
func joined(a interval, start int64, periods, queued []interval) bool {
	var before interval
	for _, p := range periods {
		if p.end <= a.start && p.end > before.end {
			before = p
		}
	}
	had := int64(0)
	for _, q := range queued {
		had += judge.Overlap(q.start, q.end, start, a.end)
	}
	return before.end > start && agree(before.end, a.start, queued) && began(before.start, start, periods, queued) &&
		2*had+judge.Exactness >= a.end-start
}

// sawLast reports whether the kernel saw that a thread's last active period began at start, and that the thread
// ended no earlier than at end. When its loop ended the kernel does not know.
func (w *waits) sawLast(tid int, start, end int64) bool {
	if w == nil {
		return false
	}
	seen := w.periods(w.ended, tid)
	queued := w.periods(w.queued, tid)
	return slices.ContainsFunc(seen, func(last interval) bool {
		return began(last.start, start, w.periods(w.active, tid), queued) && end <= last.end+judge.Exactness
	})
}

// periods returns the periods of a thread from a table of w, after all that has been traced so far was read.
func (w *waits) periods(table map[int][]interval, tid int) []interval {
	w.catchUp()
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(table[tid])
}
