// SPDX-License-Identifier: Apache-2.0

// Package replay judges recordings again. In goes a file that "loopwatch report --record" has written; out comes the
// report on it, by the rules of this tree. It needs no root, no kernel and no Python. Its tests hold the reports on the
// recordings in testdata against the logs beside them (test/judge).
package replay

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"

	"github.com/loopwatch/loopwatch/internal/advice"
	"github.com/loopwatch/loopwatch/internal/block"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/recording"
	"github.com/loopwatch/loopwatch/internal/summary"
)

// ErrForeign says that a recording is of another architecture: the numbers of its syscalls mean others here.
var ErrForeign = errors.New("recorded on another architecture")

// File judges the recording in a file.
func File(name string) (*model.Report, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := recording.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer r.Close()
	if arch := r.Header.Host.Arch; arch != runtime.GOARCH {
		return nil, fmt.Errorf("%s: %w (%q)", name, ErrForeign, arch)
	}
	rep, err := report(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return rep, nil
}

// report judges every period of a recording. The loops in the report are those that had periods, without their statistics.
func report(r *recording.Reader) (*model.Report, error) {
	builder := summary.NewBuilder(summary.Limits{})
	loops := map[model.LoopID]model.Loop{}
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		loops[model.LoopID{PID: e.PID, TID: e.TID}] = model.Loop{PID: e.PID, TID: e.TID, Loop: string(e.Loop.Kind)}
		j := block.Judge(e)
		for _, b := range j.Blocks {
			builder.Add(b)
		}
		if j.Ongoing != nil {
			builder.Add(*j.Ongoing)
		}
	}
	rep := builder.Report(summary.Meta{
		StartedAt: r.Header.StartedAt, StartedNS: r.Header.StartedNS, ThresholdNS: r.Header.ThresholdNS, Host: r.Header.Host,
	}, slices.Collect(maps.Values(loops)))
	advice.Fill(rep)
	return rep, nil
}

// Plain returns blocks as text, in one order, without what comes after the judgement: live and replayed blocks are then
// the same.
func Plain(blocks []model.Block) (string, error) {
	blocks = slices.Clone(blocks)
	for i := range blocks {
		blocks[i].Delayed, blocks[i].Schema = nil, ""
	}
	slices.SortFunc(blocks, func(a, b model.Block) int {
		return cmp.Or(cmp.Compare(a.TID, b.TID), cmp.Compare(a.StartNS, b.StartNS))
	})
	text, err := json.MarshalIndent(blocks, "", "  ")
	return string(text), err
}
