// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/test/truth"
)

// TestLag: for how long events were ready before the loop's wait returned them, held against what the program measured and
// against the kernel's tracer.
func TestLag(t *testing.T) {
	const seconds = "8"
	p := newStage(t).run(t, newest(t), truth.Lagging, seconds)
	require.NoError(t, p.ready())
	w := watch(t, "--pid", itoa(p.pid()), "--duration", "1h")
	time.Sleep(settling)
	witness := (*lagWitness)(nil)
	if os.Getenv(attachEnv) == "fentry" {
		witness = newLagWitness(t, p.pid())
	}
	require.NoError(t, p.stdin.Close())
	line, err := p.line()
	require.NoError(t, err)
	var log struct {
		LagsNS []int64 `json:"lags_ns"`
	}
	require.NoError(t, json.Unmarshal(line, &log))
	rep := w.stop(t)
	n := slices.IndexFunc(rep.Loops, func(l model.Loop) bool { return l.TID == p.pid() })
	require.GreaterOrEqual(t, n, 0)
	got := rep.Loops[n].ReadyDelayNS
	if rep.Host.Attach != "fentry" {
		assert.Nil(t, got, "nobody can know")
		return
	}
	require.NotNil(t, got)
	require.Greater(t, len(log.LagsNS), 300)
	check := func(by string, lags []int64) {
		slices.Sort(lags)
		for what, of := range map[string]struct {
			share float64
			ns    int64
		}{"p50": {.5, got.P50}, "p90": {.9, got.P90}, "p99": {.99, got.P99}} {
			want := lags[int(of.share*float64(len(lags)-1))]
			t.Logf("%s of %d: %v by %s, %v by the report", what, len(lags), time.Duration(want), by, time.Duration(of.ns))
			assert.InEpsilon(t, want, of.ns, 0.1, "%s by %s", what, by)
		}
	}
	check("the program", log.LagsNS)
	if witness != nil {
		check("the kernel's tracer", witness.lags(t, p.pid()))
	}
}

// lagWitness has the kernel's tracer write down when events of a process become ready, and when its waits return.
type lagWitness struct{ dir string }

func newLagWitness(t testing.TB, pid int) *lagWitness {
	t.Helper()
	w := &lagWitness{filepath.Join(tracefs, "instances", fmt.Sprintf("%s%d-lag", instancePrefix, os.Getpid()))}
	write := func(name, text string, flags int) {
		f, err := os.OpenFile(name, os.O_WRONLY|flags, 0)
		require.NoError(t, err, "the kernel's tracer is the witness")
		_, err = f.WriteString(text)
		require.NoError(t, err, name)
		require.NoError(t, f.Close())
	}
	group := fmt.Sprintf("loopwatch_e2e_%d", os.Getpid())
	probes := filepath.Join(tracefs, "kprobe_events")
	write(probes, "p:"+group+"/ready ep_poll_callback entry=$arg1:x64\n", os.O_APPEND)
	require.NoError(t, os.Mkdir(w.dir, 0o755))
	t.Cleanup(func() {
		_ = os.Remove(w.dir)
		write(probes, "-:"+group+"/ready\n", os.O_APPEND)
	})
	set := func(name, text string) { write(filepath.Join(w.dir, name), text, 0) }
	set("trace_clock", "mono")
	set("options/event-fork", "1")
	set("buffer_size_kb", "4096")
	set("set_event_pid", itoa(pid)+"\n")
	set("events/syscalls/sys_exit_epoll_wait/enable", "1")
	set("events/"+group+"/ready/enable", "1")
	return w
}

// A line of the trace: "… 12.345678: ready: (ep_poll_callback+0x0/0x2a0) entry=0xffff…" or "python3-812 … 12.345678: sys_epoll_wait -> 0x1".
var lagLine = regexp.MustCompile(`-(\d+)\s+\[\d+\] \S+\s+(\d+)\.(\d{6}): (?:ready: \(.*\) entry=(0x\w+)|sys_epoll_wait -> (0x\w+))`)

// lags returns for how long each event was ready by the return of the next wait of the thread.
func (w *lagWitness) lags(t testing.TB, tid int) (out []int64) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, "trace"))
	require.NoError(t, err)
	require.NotContains(t, string(text), "LOST")
	since := make(map[string]int64) // by entry
	for line := range strings.Lines(string(text)) {
		m := lagLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		at := traceTime(m[2], m[3])
		if entry := m[4]; entry != "" {
			if since[entry] == 0 {
				since[entry] = at
			}
			continue
		}
		events, err := strconv.ParseInt(m[5], 0, 64)
		if m[1] != itoa(tid) || err != nil || events < 0 {
			continue
		}
		if events > 0 { // else the program had taken them already
			for _, from := range since {
				out = append(out, at-from)
			}
		}
		clear(since)
	}
	return out
}
