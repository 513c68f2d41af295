// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/test/truth"
)

// Program is what is known of one truth program that ran under loopwatch. Beside a recording there is one JSON object a
// line for each program in it.
type Program struct {
	Python      string        `json:"python"` // the interpreter's name
	Version     string        `json:"version"`
	Program     string        `json:"program"` // truth.Blocking, truth.Causing or truth.Together
	Loop        string        `json:"loop"`    // a key of truth.Loops
	PID         int           `json:"pid"`
	ThresholdNS int64         `json:"threshold_ns"`
	Log         []truth.Entry `json:"log"`

	// What there was to say when it was recorded: the blocks that a witness accepted though they were not planned, and
	// how many complaints there were.
	Unplanned  []Span `json:"unplanned,omitempty"`
	Complaints int    `json:"complaints"`
}

// Outcome is what comes of holding a report against a program.
type Outcome struct {
	Expected, Missed, FalseAlarms int
	Unplanned                     []Span
	Complaints                    []string
}

// Judge holds a report against a program, in all that its log knows.
func (p *Program) Judge(rep *model.Report, w Witness) Outcome {
	threshold := time.Duration(p.ThresholdNS)
	v := Blocks(threshold, p.Log, BlocksOf(rep, p.PID), w)
	out := Outcome{Expected: v.Expected, Missed: v.Expected - v.Found, FalseAlarms: v.FalseAlarms, Unplanned: v.Unplanned, Complaints: v.Complaints}
	if p.Program == truth.Causing {
		out.Complaints = append(v.alarms(), Hold(threshold, p.Log, rep, p.PID).Complaints...)
	}
	return out
}

// WritePrograms writes programs, a line each.
func WritePrograms(w io.Writer, programs []Program) error {
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	for i := range programs {
		if err := lines.Encode(&programs[i]); err != nil {
			return fmt.Errorf("write programs: %w", err)
		}
	}
	return nil
}

// ReadPrograms reads what WritePrograms has written. It refuses a file without programs.
func ReadPrograms(r io.Reader) (programs []Program, err error) {
	lines := json.NewDecoder(r)
	lines.DisallowUnknownFields()
	for {
		var p Program
		switch err := lines.Decode(&p); {
		case errors.Is(err, io.EOF) && len(programs) > 0:
			return programs, nil
		case err != nil:
			return nil, fmt.Errorf("read programs: %w", err)
		}
		if len(p.Log) == 0 || p.ThresholdNS <= 0 || truth.Loops[p.Loop] == "" {
			return nil, fmt.Errorf("read programs: the one with pid %d has no log, threshold or loop", p.PID)
		}
		programs = append(programs, p)
	}
}
