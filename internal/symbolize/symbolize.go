// SPDX-License-Identifier: Apache-2.0

// Package symbolize turns addresses into names: raw Python frames of one process into
// model.Frame, and user instruction pointers into the module they lie in. It reads the
// process's memory on demand, keeps what it read within bounds, and notices an address that
// was used again for another code object.
package symbolize

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/process"
)

// Unreadable is the function of a frame that could not be named.
const Unreadable = model.Unreadable

// Bounds of what one Resolver keeps.
const (
	maxCodes = 4096
	maxBytes = MaxTogether
)

// Reasons for frames without a name, as reports count them.
const (
	ReasonUnreadable = "code_objects_unreadable"   // no code object there, or it has been freed
	ReasonReused     = "code_objects_gone"         // another one stands at the address by now
	ReasonUnknown    = "instructions_out_of_range" // the frame is named, its line is not
	ReasonBudget     = "code_objects_over_budget"  // of the frame, its name or its line
)

// source is what a Resolver needs of *cpython.Runtime.
type source interface {
	ReadCodes(m process.Memory, addrs []uint64, room int) []cpython.CodeOrError
	AreCodes(m process.Memory, addrs []uint64, codes []*cpython.Code) []bool
}

// Resolver names the frames of one process. It is not safe for concurrent use.
type Resolver struct {
	source   source
	isApp    func(file string) bool
	sources  *Sources
	memory   process.Memory
	codes    *simplelru.LRU[uint64, *code]
	bytes    int
	pool     *Pool
	share    *share     // of the pool
	busy     sync.Mutex // held by who uses codes
	probe    uint64     // an address that is mapped as long as the process lives
	ended    bool       // the process is no longer there to be read
	failures map[string]int64
	evicted  int64
	budget   budget
	now      func() time.Time
}

// code is a code object with what all its frames share.
type code struct {
	*cpython.Code
	function string
	lines    map[int32]int // by instruction: those asked for of late
	fleeting bool          // module-level or compiled at run time: likely to make room for another
	checked  time.Time     // when it was last known to be what stands at its address
	template templateOf
}

// Size adds what is known of a template.
func (c *code) Size() int { return c.Code.Size() + c.template.size }

// How long code is taken to stay where it is.
const (
	believed         = 100 * time.Millisecond // a function's
	believedFleeting = time.Millisecond
)

// Stats is what a Resolver has kept and what it could not do.
type Stats struct {
	Codes    int // code objects kept now
	Bytes    int // their size
	Evicted  int64
	Failures map[string]int64 // frames without a name, by reason
}

// New returns a Resolver for the process that rt was found in and mem reads. The caller sees to
// it that this stays the same process. isApp reports whether code compiled from a file is the application's. sources, which
// may be nil, tells where lines are to be looked up; without it every line counts as one of its file. pool bounds what this
// resolver and others keep.
func New(rt *cpython.Runtime, mem process.Memory, isApp func(file string) bool, sources *Sources, pool *Pool) *Resolver {
	r := newResolver(rt, mem, isApp, pool)
	r.sources = sources
	r.probe = rt.Addr
	return r
}

func newResolver(s source, mem process.Memory, isApp func(file string) bool, pool *Pool) *Resolver {
	r := &Resolver{source: s, memory: mem, isApp: isApp, pool: pool, failures: make(map[string]int64), now: time.Now}
	r.share = pool.join(r)
	r.codes, _ = simplelru.NewLRU(maxCodes, func(_ uint64, c *code) { r.account(-c.Size()) }) // fails for sizes below 1 only
	return r
}

// account notes that so many bytes more are kept, or less.
func (r *Resolver) account(n int) {
	r.bytes += n
	r.pool.add(r.share, n)
}

// Frames names a stack, innermost frame first. A frame that cannot be named keeps its place:
// its function is then in brackets and it has no file.
func (r *Resolver) Frames(raw []cpython.RawFrame) []model.Frame {
	r.busy.Lock()
	defer r.busy.Unlock()
	out := make([]model.Frame, len(raw))
	r.readNew(raw)
	r.checkKnown(raw)
	for i, f := range raw {
		out[i] = r.frame(f)
	}
	return out
}

// Bounds of the code objects that are read together.
const (
	mostAtOnce   = 128
	mostTogether = 4 << 20 // bytes
)

// readNew reads the code objects of frames that are not known yet, all at once. Those that it cannot read it leaves to code.
func (r *Resolver) readNew(raw []cpython.RawFrame) {
	if r.ended {
		return
	}
	asked := make(map[uint64]bool)
	var addrs []uint64
	for _, f := range raw {
		if !asked[f.Code] && len(addrs) < mostAtOnce && !r.codes.Contains(f.Code) {
			asked[f.Code] = true
			addrs = append(addrs, f.Code)
		}
	}
	if len(addrs) < 2 {
		return
	}
	room := min(r.budget.room(r.now()), mostTogether)
	if room == 0 {
		return
	}
	for i, c := range r.source.ReadCodes(r.memory, addrs, room) {
		if c.Err == nil {
			r.budget.spend(c.Code.Size())
			r.keep(addrs[i], r.newCode(c.Code))
		}
	}
}

// checkKnown finds out of which frames the code objects that are known still stand where they stood, at once.
func (r *Resolver) checkKnown(raw []cpython.RawFrame) {
	if r.ended {
		return
	}
	now := r.now()
	var addrs []uint64
	var known []*code
	var codes []*cpython.Code
	for _, f := range raw {
		c, ok := r.codes.Peek(f.Code)
		if ok && c.Check == f.Check && !c.isFresh(now) && len(addrs) < mostAtOnce && !slices.Contains(addrs, f.Code) {
			if !r.mayCompare(c) {
				continue
			}
			addrs, known, codes = append(addrs, f.Code), append(known, c), append(codes, c.Code)
		}
	}
	if len(addrs) < 2 {
		return
	}
	for i, ok := range r.source.AreCodes(r.memory, addrs, codes) {
		if ok {
			known[i].checked = now
		}
	}
}

func (r *Resolver) frame(f cpython.RawFrame) model.Frame {
	c, reason := r.code(f)
	if c == nil {
		r.failures[reason]++
		return model.Frame{Function: Unreadable}
	}
	line := 0
	if f.Instr == cpython.InstrUnknown {
		r.failures[ReasonUnknown]++
	} else {
		line = r.line(c, f.Instr)
	}
	file, line := r.place(f.Code, c, line)
	return model.Frame{Function: c.function, File: file, Line: line, App: r.isApp(file)}
}

// maxLines bounds the lines kept of one code object.
const maxLines = 32

// line is Line with a memory: a loop is blocked at the same few places again and again.
func (r *Resolver) line(c *code, instr int32) int {
	line, ok := c.lines[instr]
	if ok {
		return line
	}
	cost := c.Size() // the table is read from its beginning
	if !r.budget.has(cost, r.now()) {
		r.failures[ReasonBudget]++
		return 0
	}
	r.budget.spend(cost)
	if c.lines == nil || len(c.lines) >= maxLines {
		c.lines = make(map[int32]int)
	}
	line = c.Line(instr)
	c.lines[instr] = line
	return line
}

// newCode returns a code object that has just been read.
func (r *Resolver) newCode(read *cpython.Code) *code {
	c := &code{
		Code: read, function: read.QualName, checked: r.now(),
		fleeting: read.Name == "<module>" || strings.HasPrefix(read.File, "<"),
	}
	if c.function == "" {
		c.function = read.Name
	}
	return c
}

// code returns the code object of a frame, from the cache where it is still the same.
func (r *Resolver) code(f cpython.RawFrame) (*code, string) {
	known, ok := r.codes.Get(f.Code)
	same := ok && known.Check == f.Check
	if same && (r.ended || r.stillThere(f.Code, known)) {
		return known, "" // of an ended process nothing can have taken its place
	}
	if r.ended {
		return nil, ReasonUnreadable
	}
	room := r.budget.room(r.now())
	if room == 0 {
		return nil, ReasonBudget
	}
	read := r.source.ReadCodes(r.memory, []uint64{f.Code}, room)[0]
	if errors.Is(read.Err, cpython.ErrTooMuch) {
		r.budget.pause(r.now())
		return nil, ReasonBudget
	}
	if read.Err != nil {
		if r.ended = r.gone(); r.ended && same {
			return known, ""
		}
		return nil, ReasonUnreadable
	}
	if ok {
		r.codes.Remove(f.Code)
	}
	c := r.newCode(read.Code)
	r.budget.spend(c.Size())
	r.keep(f.Code, c)
	if c.Check != f.Check {
		return nil, ReasonReused
	}
	return c, ""
}

// stillThere reports whether a known code object still stands at its address.
func (r *Resolver) stillThere(addr uint64, c *code) bool {
	now := r.now()
	if c.isFresh(now) {
		return true
	}
	if !r.mayCompare(c) || !r.source.AreCodes(r.memory, []uint64{addr}, []*cpython.Code{c.Code})[0] {
		return false
	}
	c.checked = now
	return true
}

// shortPath is how long a path may be to be compared for nothing.
const shortPath = 512

// mayCompare reports whether a code object may be compared with what stands at its address.
func (r *Resolver) mayCompare(c *code) bool {
	cost := len(c.File)
	if cost <= shortPath {
		return true
	}
	if !r.budget.has(cost, r.now()) {
		return false
	}
	r.budget.spend(cost)
	return true
}

// isFresh reports whether code was looked at so lately that it is taken to be there still.
func (c *code) isFresh(now time.Time) bool {
	age := now.Sub(c.checked)
	return age < believedFleeting || !c.fleeting && age < believed
}

// gone reports whether the process is no longer there to be read.
func (r *Resolver) gone() bool {
	var b [1]byte
	return errors.Is(r.memory.Read(r.probe, b[:]), unix.ESRCH)
}

func (r *Resolver) keep(addr uint64, c *code) {
	if c.Size() > maxBytes {
		return
	}
	for r.codes.Len() >= maxCodes || r.bytes+c.Size() > maxBytes {
		if _, _, ok := r.codes.RemoveOldest(); !ok {
			break
		}
		r.evicted++
	}
	r.codes.Add(addr, c)
	r.account(c.Size())
	r.pool.fit(r)
}

// Stats returns the state of the cache. The map is the Resolver's own.
func (r *Resolver) Stats() Stats {
	return Stats{Codes: r.codes.Len(), Bytes: r.bytes, Evicted: r.evicted, Failures: r.failures}
}

// CutMarker is the function of a frame that stands for n frames missing in the middle.
func CutMarker(n int) model.Frame {
	return model.Frame{Function: "[" + strconv.Itoa(n) + " frames cut]"}
}
