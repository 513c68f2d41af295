// SPDX-License-Identifier: Apache-2.0

// Package replay judges recordings again (internal/replay). In goes a file that "loopwatch report --record" has written; out
// comes the report on it, by the rules of this tree. It needs no root, no kernel and no Python. Its tests hold the reports on the
// recordings in testdata against the logs beside them (test/judge).
package replay

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/replay"
)

// File judges the recording in a file.
func File(name string) (*model.Report, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	again, err := replay.Report(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return again.Report, nil
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
