// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/cpython/object"
	"github.com/loopwatch/loopwatch/internal/cpython/release"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/template"
)

// hostile is the memory of a process whose code objects, one each codeSpan from codeBase on, have line tables of size bytes.
type hostile struct {
	layout release.Layout
	size   uint64
	bytes  int // read
	calls  int
}

const (
	codeBase = 1 << 32
	codeSpan = 1 << 16
	codeType = 0x500000
	textAt   = 0x600000
	tableAt  = 0x700000
)

func (h *hostile) Read(addr uint64, p []byte) error {
	h.bytes += len(p)
	h.calls++
	clear(p)
	put := func(at, value uint64) {
		for i := range uint64(8) {
			if n := at + i - addr; n < uint64(len(p)) {
				p[n] = byte(value >> (8 * i))
			}
		}
	}
	l := &h.layout
	switch {
	case addr >= codeBase:
		code := addr &^ (codeSpan - 1)
		put(code+uint64(l.ObjectType)-8, 1)
		put(code+uint64(l.ObjectType), codeType)
		for _, text := range []uint32{l.CodeName, l.CodeFile, l.CodeQualName} {
			put(code+uint64(text), textAt)
		}
		put(code+uint64(l.CodeLines), tableAt)
	case addr >= tableAt:
		put(tableAt+uint64(l.BytesSize), h.size)
	case addr >= textAt:
		put(textAt+uint64(l.StrLength), 1)
		put(textAt+uint64(l.StrState), 1<<l.StrKindBit|1<<l.StrCompactBit|1<<l.StrASCIIBit)
		put(textAt+uint64(l.StrASCII), 'f')
	}
	return nil
}

// hostileStack returns n frames of different code.
func hostileStack(n int) (out []cpython.RawFrame) {
	for i := range n {
		file, line := uint64(textAt), int32(0)
		out = append(out, cpython.RawFrame{Code: codeBase + uint64(i)*codeSpan, Instr: 1 << 20, Check: cpython.CodeCheck(file, line)})
	}
	return out
}

func hostileResolver(t *testing.T, size uint64) (*Resolver, *hostile, *time.Time) {
	t.Helper()
	version := release.MakeVersion(3, 11, 2)
	layout, err := release.Measured(version)
	require.NoError(t, err)
	h := &hostile{layout: layout, size: size}
	now := time.Unix(1000, 0)
	r := New(&cpython.Runtime{Reader: object.Reader{Version: version, Layout: layout}, CodeType: codeType}, h, eventloop.IsApp, nil, NewPool(MaxTogether))
	r.now = func() time.Time { return now }
	return r, h, &now
}

// TestEnormousLineTables names stacks of 256 code objects with line tables of 4 MiB, a hundred a second for a minute.
func TestEnormousLineTables(t *testing.T) {
	r, h, now := hostileResolver(t, cpython.MaxLineTable)
	stack := hostileStack(256)
	const glances = 256 * 4 << 10 // of the objects of one stack
	r.Frames(stack)
	assert.LessOrEqual(t, h.bytes, budgetSaved+glances, "of the first one")
	assert.Positive(t, r.Stats().Failures[ReasonBudget])
	const seconds, each = 60, 100
	calls := h.calls
	for range seconds * each {
		*now = now.Add(time.Second / each)
		r.Frames(stack)
	}
	t.Logf("read %d MiB with %d calls; %v", h.bytes>>20, h.calls, r.Stats())
	assert.LessOrEqual(t, h.bytes, budgetSaved+seconds*(budgetPerSecond+glances)+glances)
	assert.Less(t, h.calls-calls, seconds*256*8, "while it has too little, unknown code is not asked for")
	assert.LessOrEqual(t, r.Stats().Bytes, maxBytes)
}

// TestOrdinaryCodeIsNamed names deep stacks of ordinary code all the time.
func TestOrdinaryCodeIsNamed(t *testing.T) {
	r, _, now := hostileResolver(t, 2<<10)
	for range 200 {
		*now = now.Add(10 * time.Millisecond)
		for _, f := range r.Frames(hostileStack(256)) {
			require.Equal(t, "f", f.Function)
		}
	}
	assert.Zero(t, r.Stats().Failures[ReasonBudget])
}

// TestNamesComeBack: what was too much is named once it is little again.
func TestNamesComeBack(t *testing.T) {
	r, h, now := hostileResolver(t, cpython.MaxLineTable)
	r.Frames(hostileStack(256))
	r.Frames(hostileStack(256))
	*now = now.Add(2 * budgetPause)
	h.size = 100
	frames := r.Frames(hostileStack(256)[200:])
	assert.Equal(t, "f", frames[0].Function)
}

// TestManyTemplates asks for the maps of templates that need a long search.
func TestManyTemplates(t *testing.T) {
	r, _, now := hostileResolver(t, 10)
	looked := 0
	r.sources = NewSources(nil, func(uint64, string) (*template.Map, int, error) {
		looked += 1 << 14
		return nil, 1 << 14, errors.New("not found")
	})
	c := r.newCode(&cpython.Code{Name: "root", File: "/srv/page.html"})
	const seconds = 10
	for range seconds * 100 {
		*now = now.Add(10 * time.Millisecond)
		for range 256 {
			again := *c
			r.findTemplate(codeBase, &again)
		}
	}
	assert.Positive(t, looked)
	assert.LessOrEqual(t, looked*frameCost, budgetSaved+(seconds+1)*budgetPerSecond+1<<14*frameCost)
}

// TestBudgetClock: a clock that stands still or goes back gives nothing.
func TestBudgetClock(t *testing.T) {
	var b budget
	now := time.Unix(1000, 0)
	require.True(t, b.has(budgetSaved, now))
	b.spend(budgetSaved)
	assert.Zero(t, b.room(now))
	assert.Zero(t, b.room(now.Add(-time.Hour)))
	assert.Equal(t, budgetPerSecond, b.room(now.Add(time.Second)))
	assert.Equal(t, budgetSaved, b.room(now.Add(time.Hour)))
}
