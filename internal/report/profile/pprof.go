// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/google/pprof/profile"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/words"
	"github.com/loopwatch/loopwatch/internal/summary"
)

// WritePprof writes r as a gzipped pprof profile.
func WritePprof(w io.Writer, r *model.Report) error { return writePprof(w, Pprof(r)) }

// WritePprofWaits writes p as a gzipped pprof profile.
func WritePprofWaits(w io.Writer, p *model.WaitProfile) error { return writePprof(w, PprofWaits(p)) }

func writePprof(w io.Writer, p *profile.Profile) error {
	if err := p.Write(w); err != nil {
		return fmt.Errorf("write pprof profile: %w", err)
	}
	return nil
}

// Pprof returns the blocked time of r as a pprof profile with two values: blocks, each counted
// at its heaviest stack, and blocked nanoseconds, which tools show unless told otherwise. Labels
// say the cause, the process and the loop.
func Pprof(r *model.Report) *profile.Profile {
	p := blocked(r).pprof()
	if n := r.Lost.Reasons[summary.ReasonBlocksOverLimit]; n > 0 {
		p.Comments = append(p.Comments, fmt.Sprintf("left out: %s, the shortest", words.Plural(n, "block")))
	}
	return p
}

// PprofWaits returns the waiting time of p as a pprof profile with two values: how often tasks were found waiting, and
// nanoseconds summed over tasks, which tools show unless told otherwise. Labels say what they waited for, the process and the loop.
func PprofWaits(p *model.WaitProfile) *profile.Profile { return waiting(p).pprof() }

func (f *file) pprof() *profile.Profile {
	p := &profile.Profile{
		SampleType:        []*profile.ValueType{{Type: f.counted, Unit: "count"}, {Type: f.weighed, Unit: "nanoseconds"}},
		DefaultSampleType: f.weighed,
		DurationNanos:     f.durationNS,
		Comments:          append([]string{"loopwatch: " + f.title}, f.comment),
	}
	if started, err := time.Parse(time.RFC3339Nano, f.startedAt); err == nil {
		p.TimeNanos = started.UnixNano()
	}
	// Named, or pprof complains about a binary it does not find; complete, or it looks for one.
	p.Mapping = []*profile.Mapping{{ID: 1, File: "python", HasFunctions: true, HasFilenames: true, HasLineNumbers: true}}
	b := pprofBuilder{p: p, label: f.label, functions: map[Frame]*profile.Function{}, locations: map[Frame]*profile.Location{},
		samples: map[string]*profile.Sample{}}
	for i := range f.samples {
		b.add(&f.samples[i])
	}
	slices.SortStableFunc(p.Sample, func(x, y *profile.Sample) int { return cmp.Compare(y.Value[1], x.Value[1]) })
	return p
}

type pprofBuilder struct {
	p         *profile.Profile
	label     string                      // of the kind of a sample
	functions map[Frame]*profile.Function // by function and file
	locations map[Frame]*profile.Location
	samples   map[string]*profile.Sample
}

func (b *pprofBuilder) add(s *Sample) {
	locations := make([]*profile.Location, 0, len(s.Frames))
	var key []byte
	for _, f := range slices.Backward(s.Frames) { // innermost first
		l := b.location(f)
		locations = append(locations, l)
		key = binary.AppendUvarint(key, l.ID)
	}
	key = fmt.Appendf(key, "\x00%s\x00%d/%d", s.Kind, s.Loop.PID, s.Loop.TID)
	sample := b.samples[string(key)]
	if sample == nil {
		sample = &profile.Sample{Location: locations, Value: []int64{0, 0}, Label: map[string][]string{
			b.label: {cmp.Or(clean(s.Kind), "?")}, "process": {s.Loop.Process}, "loop": {s.Loop.Name},
		}}
		b.samples[string(key)] = sample
		b.p.Sample = append(b.p.Sample, sample)
	}
	sample.Value[0] += s.Count
	sample.Value[1] += s.NS
}

func (b *pprofBuilder) location(f Frame) *profile.Location {
	f.App = false // the same code may be told to be one's own on one stack and not on another
	if l := b.locations[f]; l != nil {
		return l
	}
	named := Frame{Function: f.Function, File: f.File}
	function := b.functions[named]
	if function == nil {
		// Without a SystemName: pprof would take "<module>" for a C++ template and strip it.
		function = &profile.Function{ID: uint64(len(b.p.Function) + 1), Name: f.Function, Filename: f.File}
		b.functions[named] = function
		b.p.Function = append(b.p.Function, function)
	}
	l := &profile.Location{ID: uint64(len(b.p.Location) + 1), Mapping: b.p.Mapping[0],
		Line: []profile.Line{{Function: function, Line: int64(max(f.Line, 0))}}}
	b.locations[f] = l
	b.p.Location = append(b.p.Location, l)
	return l
}
