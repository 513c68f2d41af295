// SPDX-License-Identifier: Apache-2.0

package block

import (
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
)

// shape tells one long callback from many short ones, where the samples show it.
func shape(pieces []piece, duration int64) model.Shape {
	half := duration / 2
	for i := range pieces {
		// What is carried by one sample without an end of its own is one stretch, but for
		// a sixth of the threshold at most.
		if x := &pieces[i]; x.isOff() && x.ns >= half && x.callback.id == 0 {
			return model.ShapeSingle
		}
	}
	var total, unknown, top, topSure int64
	sums := make(map[uint64]int64)
	for i := range pieces {
		x := &pieces[i]
		total += x.ns
		if x.callback.id == 0 {
			unknown += x.ns
			continue
		}
		sums[x.callback.id] += x.ns
		top = max(top, sums[x.callback.id])
		if x.callback.sure {
			topSure = max(topSure, sums[x.callback.id])
		}
	}
	switch {
	case topSure > 0 && 2*topSure >= total:
		return model.ShapeSingle
	case total > 0 && 2*(top+unknown) < total:
		return model.ShapeMany
	case len(sums) > 0:
		return ""
	}
	return shapeByName(pieces, half)
}

// shapeByName goes by the functions called, where nothing else tells callbacks apart: several,
// none of which has half, are many. One function may be called once or often: then nothing is said.
func shapeByName(pieces []piece, half int64) model.Shape {
	functions := make(map[model.Frame]int64)
	for i := range pieces {
		if x := &pieces[i]; x.function.Function != "" {
			functions[x.function] += x.ns
		}
	}
	for _, ns := range functions {
		if ns >= half {
			return ""
		}
	}
	if len(functions) >= 3 {
		return model.ShapeMany
	}
	return ""
}

// functionOf returns the outermost frame inside the loop's machinery, as function and file.
func functionOf(frames []model.Frame, root int) model.Frame {
	for i := min(root, len(frames)) - 1; i >= 0; i-- {
		if f := frames[i]; !eventloop.IsMachinery(f) && f.File != "" {
			return model.Frame{Function: f.Function, File: f.File}
		}
	}
	return model.Frame{}
}
