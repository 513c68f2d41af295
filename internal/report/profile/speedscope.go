// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/loopwatch/loopwatch/internal/model"
)

// The file format of speedscope: https://www.speedscope.app/file-format-schema.json, in the
// part this package writes.
type speedscopeFile struct {
	Schema   string              `json:"$schema"`
	Name     string              `json:"name"`
	Exporter string              `json:"exporter"`
	Active   int                 `json:"activeProfileIndex"`
	Shared   speedscopeShared    `json:"shared"`
	Profiles []speedscopeProfile `json:"profiles"`
}

type speedscopeShared struct {
	Frames []speedscopeFrame `json:"frames"`
}

type speedscopeFrame struct {
	Name string `json:"name"`
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
}

type speedscopeProfile struct {
	Type    string  `json:"type"`
	Name    string  `json:"name"`
	Unit    string  `json:"unit"`
	Start   int64   `json:"startValue"`
	End     int64   `json:"endValue"`
	Samples [][]int `json:"samples"`
	Weights []int64 `json:"weights"`
}

const speedscopeSchema = "https://www.speedscope.app/file-format-schema.json"

// WriteSpeedscope writes a profile for each loop that was blocked, the most blocked first. Its
// samples follow each other in the order of the blocks, without the time in between.
func WriteSpeedscope(w io.Writer, r *model.Report) error { return blocked(r).writeSpeedscope(w) }

// WriteSpeedscopeWaits writes a profile for each loop whose tasks waited.
func WriteSpeedscopeWaits(w io.Writer, p *model.WaitProfile) error {
	return waiting(p).writeSpeedscope(w)
}

func (f *file) writeSpeedscope(w io.Writer) error {
	file := speedscopeFile{
		Schema: speedscopeSchema, Name: f.title, Exporter: "loopwatch",
		Shared: speedscopeShared{[]speedscopeFrame{}},
	}
	frames := make(map[speedscopeFrame]int)
	index := func(f Frame) int {
		key := speedscopeFrame{f.Function, f.File, max(f.Line, 0)}
		i, known := frames[key]
		if !known {
			i = len(file.Shared.Frames)
			frames[key] = i
			file.Shared.Frames = append(file.Shared.Frames, key)
		}
		return i
	}
	profiles := make(map[model.LoopID]*speedscopeProfile)
	order := f.loops
	for _, s := range f.samples {
		id := s.Loop.LoopID
		p := profiles[id]
		if p == nil {
			p = &speedscopeProfile{Type: "sampled", Name: s.Loop.Process + " " + s.Loop.Name, Unit: "nanoseconds"}
			profiles[id] = p
			order = append(order, id) // harmless where it is there already, see below
		}
		stack := make([]int, len(s.Frames))
		for i, f := range s.Frames {
			stack[i] = index(f)
		}
		p.Samples = append(p.Samples, stack)
		p.Weights = append(p.Weights, s.NS)
		p.End += s.NS
	}
	for _, id := range order {
		if p := profiles[id]; p != nil {
			file.Profiles = append(file.Profiles, *p)
			delete(profiles, id)
		}
	}
	if len(file.Profiles) == 0 { // speedscope opens no file without a profile
		file.Profiles = []speedscopeProfile{{
			Type: "sampled", Name: f.none, Unit: "nanoseconds", Samples: [][]int{}, Weights: []int64{},
		}}
	}
	if err := json.NewEncoder(w).Encode(file); err != nil {
		return fmt.Errorf("write speedscope file: %w", err)
	}
	return nil
}
