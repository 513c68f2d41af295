// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/test/load"
)

// streamer is a running "loopwatch watch".
type streamer struct {
	cmd    *exec.Cmd
	stderr lockedBuffer
	exited chan struct{}
	err    error
}

// lockedBuffer is a buffer that is read while it is written to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) Bytes() []byte { return []byte(l.String()) }

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// watchStream starts "loopwatch watch" and waits until it watches. wrap, if there is any, are the
// words before it. stdout is closed here.
func watchStream(t testing.TB, stdout *os.File, wrap []string, args ...string) *streamer {
	t.Helper()
	words := slices.Concat(wrap, []string{binary, "watch"}, args)
	if attach := os.Getenv(attachEnv); attach != "" {
		words = append(words, "--attach", attach)
	}
	s := &streamer{cmd: exec.Command(words[0], words[1:]...), exited: make(chan struct{})}
	s.cmd.Stderr = &s.stderr
	if stdout != nil {
		s.cmd.Stdout = stdout
		defer stdout.Close()
	}
	require.NoError(t, s.cmd.Start())
	go func() { s.err = s.cmd.Wait(); close(s.exited) }()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		<-s.exited
	})
	require.Eventually(t, func() bool {
		select {
		case <-s.exited:
			return true
		default:
			return strings.Contains(s.stderr.String(), "watching")
		}
	}, patience, 5*time.Millisecond)
	require.Contains(t, s.stderr.String(), "watching", "%v", s.err)
	return s
}

// stop ends it as Ctrl-C does.
func (s *streamer) stop(t testing.TB) {
	t.Helper()
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGINT))
	s.ended(t)
}

// ended waits for its end, which must be a good one.
func (s *streamer) ended(t testing.TB) {
	t.Helper()
	select {
	case <-s.exited:
	case <-time.After(patience):
		t.Fatalf("loopwatch does not end:\n%s", s.stderr.String())
	}
	require.NoError(t, s.err, s.stderr.String())
}

// counted returns the number before some words on stderr, 0 where they were not said.
func (s *streamer) counted(t testing.TB, words string) int {
	t.Helper()
	m := regexp.MustCompile(`(\d+) ` + words).FindStringSubmatch(s.stderr.String())
	if m == nil {
		return 0
	}
	n, err := strconv.Atoi(m[1])
	require.NoError(t, err)
	return n
}

// lost returns how many events were lost on the way.
func (s *streamer) lost(t testing.TB) int { return s.counted(t, "events? and") }

// decodeBlocks reads what -f jsonl has written, and counts the lines that are none.
func decodeBlocks(t testing.TB, lines []byte) (blocks []model.Block, torn int) {
	t.Helper()
	for line := range bytes.Lines(lines) {
		var b model.Block
		if err := json.Unmarshal(line, &b); err != nil {
			torn++
			continue
		}
		checkSchema(t, line)
		require.Equal(t, model.SchemaBlock, b.Schema)
		blocks = append(blocks, b)
	}
	return blocks, torn
}

// TestWatchKeepsUp: twenty processes blocked a hundred times a second each. Nothing is lost that is
// not counted.
func TestWatchKeepsUp(t *testing.T) {
	s := newStorm(t, 20, 100, 3*time.Millisecond, 400)
	file := filepath.Join(t.TempDir(), "blocks")
	w := watchStream(t, nil, nil, append(s.flags(), "-f", "jsonl", "-t", "2ms", "-o", file)...)
	before := cpuOfAll(t, w.cmd.Process.Pid)
	begin := time.Now()
	reports := s.play(t)
	after := cpuOfAll(t, w.cmd.Process.Pid)
	elapsed := time.Since(begin)
	w.stop(t)

	written, err := os.ReadFile(file)
	require.NoError(t, err)
	blocks, torn := decodeBlocks(t, written)
	assert.Zero(t, torn)
	counted := w.lost(t) + w.counted(t, "blocks? not printed")
	share := (after - before).Seconds() / elapsed.Seconds()
	unseen := missed(reports, blocks)
	t.Logf("%d blocks in %v: %d printed, %d missed, %d counted as lost, %.0f %% of a CPU",
		countBlocks(reports), elapsed, len(blocks), len(unseen), counted, 100*share)
	assert.LessOrEqual(t, len(unseen), counted, "lost and not counted: %v\n%s", unseen, w.stderr.String())
	assert.NotEmpty(t, blocks)
}

// cpuOfAll returns the CPU time of a process and of those it has started: loopwatch may go on in a session of its own.
func cpuOfAll(t testing.TB, pid int) (sum time.Duration) {
	t.Helper()
	below, err := process.Descendants([]int{pid})
	require.NoError(t, err)
	for _, pid := range append(below, pid) {
		cpu, err := load.ProcessCPU(pid)
		require.NoError(t, err)
		sum += cpu
	}
	return sum
}

// line is what was printed and when.
type line struct {
	at   int64 // CLOCK_MONOTONIC, ns
	text []byte
}

// readAtOnce reads lines as they come. The channel has all of them once the pipe is closed.
func readAtOnce(t testing.TB, pipe *os.File) <-chan []line {
	t.Helper()
	var lines []line
	all := make(chan []line, 1)
	done := readLines(t, pipe, func(l line) { lines = append(lines, l) })
	go func() { <-done; all <- lines }()
	return all
}

// readLines has take called with lines as they come, with real-time priority: what it is late is not the machine's doing. The
// channel is closed once the pipe is.
func readLines(t testing.TB, pipe *os.File, take func(line)) <-chan struct{} {
	t.Helper()
	fd := int(pipe.Fd()) // blocking from now on
	failed, done := make(chan error, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		defer close(done)
		defer pipe.Close()
		failed <- unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}, 0)
		var rest []byte
		buffer := make([]byte, 64<<10)
		for {
			n, err := unix.Read(fd, buffer)
			if n <= 0 || err != nil {
				return
			}
			now := monotonic()
			rest = append(rest, buffer[:n]...)
			for {
				end := bytes.IndexByte(rest, '\n')
				if end < 0 {
					break
				}
				take(line{now, bytes.Clone(rest[:end])})
				rest = rest[end+1:]
			}
		}
	}()
	require.NoError(t, <-failed)
	return done
}

// TestWatchTellsInTime: a block is printed within 200 ms of its end, and one still going on within a
// second of the threshold. All who measure have real-time priority, and time in which a CPU stood still
// does not count.
func TestWatchTellsInTime(t *testing.T) {
	const threshold, afterEnd, afterThreshold = 10 * time.Millisecond, 200 * time.Millisecond, time.Second
	short, long := newStorm(t, 1, 40, 15*time.Millisecond, 300), newStorm(t, 1, 0.5, 1400*time.Millisecond, 4)
	read, write, err := os.Pipe()
	require.NoError(t, err)
	printed := readAtOnce(t, read)
	w := watchStream(t, write, []string{"chrt", "--fifo", "1"}, append(slices.Concat(short.flags(), long.flags()[:2]), "-f", "jsonl", "-t", threshold.String())...)
	require.NoError(t, long.stdin.Close())
	shortBlocks := short.play(t)
	longBlocks := long.reports(t)
	w.stop(t)

	var blocks []model.Block
	var late []time.Duration
	told := map[int64]int64{} // when blocks of the long one that went on were reported
	for _, l := range <-printed {
		var b model.Block
		require.NoError(t, json.Unmarshal(l.text, &b))
		end := b.StartNS + b.DurationNS
		if b.Ongoing {
			told[b.StartNS] = l.at
			continue
		}
		blocks = append(blocks, b)
		delay := time.Duration(l.at - end - stalls.stalled(end, l.at))
		late = append(late, delay)
		assert.LessOrEqual(t, delay, afterEnd, "printed after its end: %s", l.text)
	}
	slices.Sort(late)
	require.GreaterOrEqual(t, len(late), 300)
	t.Logf("%d blocks printed after their end: median %v, 99 of 100 %v, latest %v; %v", len(late),
		late[len(late)/2], late[len(late)*99/100], late[len(late)-1], stalls)
	assert.LessOrEqual(t, len(missed(slices.Concat(shortBlocks, longBlocks), blocks)), w.lost(t), "%v\n%s", missed(slices.Concat(shortBlocks, longBlocks), blocks), w.stderr.String())
	for _, own := range longBlocks[0].Blocks {
		i := slices.IndexFunc(blocks, func(b model.Block) bool { return b.PID == longBlocks[0].PID && b.StartNS+b.DurationNS >= own[1] })
		require.GreaterOrEqual(t, i, 0)
		at, ok := told[blocks[i].StartNS]
		if !assert.True(t, ok, "a block of 1.4 s is reported while it goes on") {
			continue
		}
		crossed := blocks[i].StartNS + int64(threshold)
		assert.LessOrEqual(t, time.Duration(at-crossed-stalls.stalled(crossed, at)), afterThreshold)
	}
}

// TestWatchFolds: the text of a storm is short, and says of all blocks.
func TestWatchFolds(t *testing.T) {
	s := newStorm(t, 2, 20, 15*time.Millisecond, 60)
	read, write, err := os.Pipe()
	require.NoError(t, err)
	all := make(chan []byte, 1)
	go func() { text, _ := io.ReadAll(read); _ = read.Close(); all <- text }()
	w := watchStream(t, write, nil, append(s.flags(), "-t", "10ms")...)
	reports := s.play(t)
	w.stop(t)
	text := string(<-all)
	total, lines := 0, 0
	folded := regexp.MustCompile(`  x(\d+) in the last \d+ s, `)
	for l := range strings.Lines(text) {
		lines++
		if m := folded.FindStringSubmatch(l); m != nil {
			n, err := strconv.Atoi(m[1])
			require.NoError(t, err)
			total += n
		} else if !strings.Contains(l, "still going on") {
			total++
		}
	}
	own := countBlocks(reports)
	assert.GreaterOrEqual(t, total, own-w.lost(t), text)
	assert.Less(t, lines, own/2, "folded:\n%s", text)
	assert.Regexp(t, `block storm\.py:\d+  x\d+ in the last \d+ s`, text)
}

// TestWatchOutlivesItsReader: a reader that closes the pipe has had enough.
func TestWatchOutlivesItsReader(t *testing.T) {
	s := newStorm(t, 1, 20, 15*time.Millisecond, 60)
	read, write, err := os.Pipe()
	require.NoError(t, err)
	w := watchStream(t, write, nil, append(s.flags(), "-t", "10ms", "-f", "jsonl")...)
	require.NoError(t, s.stdin.Close())
	_, err = read.Read(make([]byte, 1))
	require.NoError(t, err)
	require.NoError(t, read.Close())
	w.ended(t)
	assert.Len(t, s.reports(t)[0].Blocks, 60, "the program watched goes on")
}

// TestWatchCountsForASlowReader: who does not read costs blocks, which are counted.
func TestWatchCountsForASlowReader(t *testing.T) {
	s := newStorm(t, 20, 100, 3*time.Millisecond, 300)
	read, write, err := os.Pipe()
	require.NoError(t, err)
	// With real-time priority, or it is loopwatch that is too slow.
	w := watchStream(t, write, []string{"chrt", "--fifo", "1"}, append(s.flags(), "-f", "jsonl", "-t", "2ms")...)
	reports := s.play(t)
	require.NoError(t, w.cmd.Process.Signal(syscall.SIGINT))
	text, err := io.ReadAll(read)
	require.NoError(t, err)
	require.NoError(t, read.Close())
	w.ended(t)
	blocks, torn := decodeBlocks(t, text)
	assert.Zero(t, torn)
	notPrinted := w.counted(t, "blocks? not printed: the reader of stdout is too slow")
	assert.Positive(t, notPrinted, "more blocks than it keeps: %s", w.stderr.String())
	assert.LessOrEqual(t, len(missed(reports, blocks)), notPrinted+w.lost(t), "%v\n%s", missed(reports, blocks), w.stderr.String())
	assert.Greater(t, len(blocks), 4000, "what it keeps for the reader is printed")
}

// TestWatchOnAFullDisk: lines that find no room are counted, and it goes on where there is room again.
func TestWatchOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, unix.Mount("loopwatch-test", dir, "tmpfs", 0, "size=64k"))
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	first, second := newStorm(t, 2, 40, 15*time.Millisecond, 60), newStorm(t, 1, 40, 15*time.Millisecond, 20)
	file := filepath.Join(dir, "blocks")
	w := watchStream(t, nil, nil, append(slices.Concat(first.flags(), second.flags()[:2]), "-f", "jsonl", "-t", "10ms", "-o", file)...)
	before := first.play(t)
	require.Eventually(t, func() bool { return strings.Contains(w.stderr.String(), "no space left") }, patience, 5*time.Millisecond)
	time.Sleep(settling) // the last lines of the first
	require.NoError(t, unix.Mount("", dir, "", unix.MS_REMOUNT, "size=16m"))
	after := second.play(t)
	w.stop(t)
	written, err := os.ReadFile(file)
	require.NoError(t, err)
	blocks, torn := decodeBlocks(t, written)
	assert.LessOrEqual(t, torn, 1, "one line was begun when the disk was full")
	notPrinted := w.counted(t, "lines? not printed")
	assert.Positive(t, notPrinted)
	assert.LessOrEqual(t, len(missed(before, blocks)), notPrinted+w.lost(t), "%v\n%s", missed(before, blocks), w.stderr.String())
	assert.LessOrEqual(t, len(missed(after, blocks)), w.lost(t), "%v\n%s", missed(after, blocks), w.stderr.String())
	assert.Equal(t, 1, strings.Count(w.stderr.String(), "no space left"), "said once: %s", w.stderr.String())
}
