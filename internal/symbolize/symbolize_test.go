// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/process"
)

// shelf is a source with code objects by address.
type shelf struct {
	codes map[uint64]cpython.Code
	reads int
}

func (s *shelf) ReadCodes(_ process.Memory, addrs []uint64, _ int) (out []cpython.CodeOrError) {
	for _, addr := range addrs {
		s.reads++
		c, ok := s.codes[addr]
		if ok {
			out = append(out, cpython.CodeOrError{Code: &c})
		} else {
			out = append(out, cpython.CodeOrError{Err: errors.New("no code here")})
		}
	}
	return out
}

func (s *shelf) AreCodes(_ process.Memory, addrs []uint64, codes []*cpython.Code) (out []bool) {
	for i, c := range codes {
		now, ok := s.codes[addrs[i]]
		out = append(out, ok && now.Name == c.Name && now.File == c.File && now.Check == c.Check)
	}
	return out
}

func TestFramesAreNamedAndKept(t *testing.T) {
	s := &shelf{codes: map[uint64]cpython.Code{
		1: {Name: "get", QualName: "Handler.get", File: "/srv/app.py", FirstLine: 7, Check: 11},
		2: {Name: "run", File: "/usr/lib/python3.9/asyncio/runners.py", FirstLine: 3, Check: 12},
	}}
	r := newResolver(s, &space{}, eventloop.IsApp, NewPool(MaxTogether))
	for range 3 {
		frames := r.Frames([]cpython.RawFrame{{Code: 1, Instr: -1, Check: 11}, {Code: 2, Instr: -1, Check: 12}})
		assert.Equal(t, []model.Frame{
			{Function: "Handler.get", File: "/srv/app.py", Line: 7, App: true},
			{Function: "run", File: "/usr/lib/python3.9/asyncio/runners.py", Line: 3},
		}, frames)
	}
	assert.Equal(t, 2, s.reads)
	assert.Empty(t, r.Stats().Failures)
}

func TestReusedAddressIsNoticed(t *testing.T) {
	s := &shelf{codes: map[uint64]cpython.Code{1: {Name: "old", File: "/a.py", Check: 11}}}
	r := newResolver(s, &space{}, eventloop.IsApp, NewPool(MaxTogether))
	assert.Equal(t, "old", r.Frames([]cpython.RawFrame{{Code: 1, Instr: -1, Check: 11}})[0].Function)

	s.codes[1] = cpython.Code{Name: "new", File: "/a.py", Check: 22}
	assert.Equal(t, "new", r.Frames([]cpython.RawFrame{{Code: 1, Instr: -1, Check: 22}})[0].Function)
	// A stack taken before, named too late: better no name than the wrong one.
	assert.Equal(t, "[unreadable]", r.Frames([]cpython.RawFrame{{Code: 1, Instr: -1, Check: 11}})[0].Function)
	assert.EqualValues(t, 1, r.Stats().Failures[ReasonReused])
}

func TestUnreadableKeepsItsPlace(t *testing.T) {
	s := &shelf{codes: map[uint64]cpython.Code{1: {Name: "main", File: "/a.py", Check: 11}}}
	r := newResolver(s, &space{}, eventloop.IsApp, NewPool(MaxTogether))
	frames := r.Frames([]cpython.RawFrame{{Code: 99}, {Code: 1, Instr: cpython.InstrUnknown, Check: 11}})
	require.Len(t, frames, 2)
	assert.Equal(t, model.Frame{Function: "[unreadable]"}, frames[0])
	assert.Equal(t, model.Frame{Function: "main", File: "/a.py", App: true}, frames[1])
	assert.Equal(t, map[string]int64{ReasonUnreadable: 1, ReasonUnknown: 1}, r.Stats().Failures)
}

func TestCacheIsBounded(t *testing.T) {
	s := &shelf{codes: map[uint64]cpython.Code{}}
	name := strings.Repeat("n", 8<<10)
	const n = 3 * maxCodes
	for addr := range uint64(n) {
		s.codes[addr] = cpython.Code{Name: name, File: "/a.py"}
	}
	r := newResolver(s, &space{}, eventloop.IsApp, NewPool(MaxTogether))
	now := time.Unix(1000, 0)
	r.now = func() time.Time { now = now.Add(time.Second); return now } // so that there is always room
	for addr := range uint64(n) {
		require.Equal(t, name, r.Frames([]cpython.RawFrame{{Code: addr, Instr: -1}})[0].Function)
		require.LessOrEqual(t, r.Stats().Bytes, maxBytes)
		require.LessOrEqual(t, r.Stats().Codes, maxCodes)
	}
	assert.Positive(t, r.Stats().Evicted)
	r.codes.Purge()
	assert.Zero(t, r.Stats().Bytes, "what is evicted is no longer counted")
}

func TestModules(t *testing.T) {
	self, err := process.Open(os.Getpid())
	require.NoError(t, err)
	real, err := self.Maps()
	require.NoError(t, err)
	require.NotEmpty(t, real)

	m := NewModules([]process.Mapping{
		{Start: 0x5000, End: 0x6000, Perms: "r-xp", Path: "/v/lib/python3.11/site-packages/uvloop/loop.cpython-311-x86_64-linux-gnu.so"},
		{Start: 0x1000, End: 0x2000, Perms: "r-xp", Path: "/usr/bin/python3.11 (deleted)"},
		{Start: 0x2000, End: 0x3000, Perms: "rw-p", Path: "/usr/bin/python3.11 (deleted)"},
		{Start: 0x7000, End: 0x8000, Perms: "r-xp"},
		{Start: 0x9000, End: 0xa000, Perms: "r-xp", Path: "[vdso]"},
	}, &cpython.Runtime{Path: "/usr/bin/python3.11 (deleted)"})
	for _, test := range []struct {
		ip          uint64
		name        string
		interpreter bool
	}{
		{0x1000, "python3.11", true}, {0x1fff, "python3.11", true}, {0x2000, "", false}, {0x0, "", false},
		{0x5123, "loop.cpython-311-x86_64-linux-gnu.so", false}, {0x7abc, "[anon]", false}, {0x9001, "[vdso]", false},
		{^uint64(0), "", false},
	} {
		name, interpreter := m.Find(test.ip)
		assert.Equal(t, test.name, name, "%#x", test.ip)
		assert.Equal(t, test.interpreter, interpreter, "%#x", test.ip)
	}
	assert.True(t, m.Extension("uvloop"))
	assert.False(t, m.Extension("gevent"))

	var none *Modules
	assert.False(t, none.Extension("uvloop"))
	name, interpreter := none.Find(0x1000)
	assert.Empty(t, name)
	assert.False(t, interpreter)
}

// space is the memory of a process: there, until it has ended.
type space struct {
	ended bool
	reads int
}

func (s *space) Read(uint64, []byte) error {
	if s.reads++; s.ended {
		return unix.ESRCH
	}
	return nil
}

// What is known of an ended process stays true, and it is asked no more.
func TestEndedProcess(t *testing.T) {
	s, m := &shelf{codes: map[uint64]cpython.Code{1: {Name: "<module>", File: "/a.py", Check: 11}}}, &space{}
	r := newResolver(s, m, eventloop.IsApp, NewPool(MaxTogether))
	known := cpython.RawFrame{Code: 1, Instr: -1, Check: 11}
	require.Equal(t, "<module>", r.Frames([]cpython.RawFrame{known})[0].Function)
	s.codes, m.ended = nil, true
	for range 3 {
		frames := r.Frames([]cpython.RawFrame{known, {Code: 2}, {Code: 1, Check: 22}})
		assert.Equal(t, "<module>", frames[0].Function)
		assert.Equal(t, "[unreadable]", frames[1].Function)
		assert.Equal(t, "[unreadable]", frames[2].Function, "another one")
	}
	assert.Equal(t, 1, m.reads)
	assert.EqualValues(t, 6, r.Stats().Failures[ReasonUnreadable])
}
