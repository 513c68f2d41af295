// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/block"
	"github.com/loopwatch/loopwatch/internal/cause"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/syscalls"
)

func example() *block.Evidence {
	frames := []model.Frame{{Function: "handler", File: "/srv/app.py", Line: 3, App: true}}
	return &block.Evidence{
		PID: 5, TID: 7, Period: 9, ThresholdNS: 100, StartNS: 1000, EndNS: 2000, OffNS: 800, WaitedNS: 10,
		Loop: block.Loop{Kind: eventloop.Asyncio, Anchor: []uint64{1 << 63, 2}, Caller: eventloop.CallerTask, CallerCode: 8},
		Samples: []block.Sample{{
			AtNS: 1100, NS: 790, WaitedNS: 10, Frames: frames, Raw: []block.Address{{Code: 1 << 63, Instr: -1}},
			Extensions: []string{"uvloop"}, Inherited: 1, HasTask: true, Task: "Task-1",
			Sleep: cause.Sleep{GIL: true, Call: cause.Call{Number: 1, Args: [3]uint64{1 << 63}, Target: syscalls.Target{
				Kind: syscalls.InetTarget, FD: -1, Address: netip.MustParseAddrPort("[::1]:53"), Path: "\x00a"}}},
			Busy:   cause.Interpreter{Phase: cause.PhaseImport, GIL: model.GILHeld},
			Holder: &block.Holder{ThreadPointer: 1 << 63, Holder: model.Holder{TID: 8, Frames: frames}},
		}, {Kind: block.Tick, AtNS: 1900, CPUNS: 100, Module: "libm.so.6"}},
		Account: &block.Account{Phases: map[cause.Phase]block.PhaseTime{cause.PhaseImport: {NS: 5}}, Audits: []model.AuditEvent{{Event: "open", Count: 1}}},
	}
}

var noted = Note{End: &End{EndedNS: 5, Lost: model.Lost{Reasons: map[string]int64{"x": 1}}}}

// What was written comes back as it was.
func TestRoundTrip(t *testing.T) {
	var file bytes.Buffer
	w, err := NewWriter(&file)
	require.NoError(t, err)
	w.Begin(Header{ThresholdNS: 100, StartedAt: time.Unix(5, 0).UTC()})
	w.Add(example())
	w.Add(&block.Evidence{Open: true})
	w.Note(noted)
	require.NoError(t, w.Close())
	r, err := NewReader(&file)
	require.NoError(t, err)
	defer r.Close()
	assert.Equal(t, Header{Schema: Schema, ThresholdNS: 100, StartedAt: time.Unix(5, 0).UTC()}, r.Header)
	e, err := r.Next()
	require.NoError(t, err)
	assert.Equal(t, Entry{Evidence: example()}, e)
	assert.Equal(t, block.Judge(example()), block.Judge(e.Evidence))
	e, err = r.Next()
	require.NoError(t, err)
	assert.Equal(t, Entry{Evidence: &block.Evidence{Open: true}}, e)
	e, err = r.Next()
	require.NoError(t, err)
	assert.Equal(t, Entry{Note: &noted}, e)
	_, err = r.Next()
	assert.ErrorIs(t, err, io.EOF)
}

func zipped(t *testing.T, lines string) io.Reader {
	var file bytes.Buffer
	zip, err := zstd.NewWriter(&file, zstd.WithWindowSize(maxWindow))
	require.NoError(t, err)
	_, err = io.WriteString(zip, lines)
	require.NoError(t, err)
	require.NoError(t, zip.Close())
	return &file
}

// A file that is not as it should be is refused, and nothing in it takes much memory.
func TestRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, lines := range []string{"", "{}\n", "[]\n", "{\"schema\":\"loopwatch.recording/v2\"}\n", strings.Repeat("x", maxHeader+1) + "\n"} {
		_, err := NewReader(zipped(t, lines))
		assert.Error(t, err, "%.40q", lines)
	}
	_, err := NewReader(strings.NewReader("no zstd"))
	assert.Error(t, err)
	begin := fmt.Sprintf("{\"schema\":%q}\n", Schema)
	for _, line := range []string{
		"x\n", "{}", "{\"samples\":5}\n", "{\"pid\":\"a\"}\n", "{\"samples\":[" + strings.Repeat("{},", maxSamples) + "{}]}\n",
		"{\"samples\":[{\"task\":\"" + strings.Repeat("x", maxSample) + "\"}]}\n", "{\"x\":\"" + strings.Repeat("x", maxRest) + "\"}\n",
	} {
		r, err := NewReader(zipped(t, begin+line))
		require.NoError(t, err)
		_, err = r.Next()
		require.Error(t, err, "%.40q", line)
		assert.NotErrorIs(t, err, io.EOF, "%.40q", line)
		r.Close()
	}
}
