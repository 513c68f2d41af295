// SPDX-License-Identifier: Apache-2.0

package difference

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/profile"
	"github.com/loopwatch/loopwatch/internal/report/words"
)

// Bounds of the flame graph.
const (
	maxBoxes = 4000
	maxDepth = 100
	least    = 0.0008 // of the whole width: a narrower box is not drawn
)

// node is a function in one place of the tree, with its blocked time as parts of the loop time.
type node struct {
	function, file string
	before, after  float64
	width          float64 // see measure
	children       []*node
	index          map[[2]string]*node
}

func (n *node) child(function, file string) *node {
	key := [2]string{function, file}
	if c := n.index[key]; c != nil {
		return c
	}
	if n.index == nil {
		n.index = map[[2]string]*node{}
	}
	c := &node{function: function, file: file}
	n.index[key] = c
	n.children = append(n.children, c)
	return c
}

// tree merges the stacks of two reports: frames are the same where function and file are. Time is in parts of the loop time.
func tree(before, after *model.Report, d *model.Diff) *node {
	root := &node{function: "all loops"}
	for _, side := range []struct {
		report *model.Report
		loopNS int64
		after  bool
	}{{before, d.Before.LoopNS, false}, {after, d.After.LoopNS, true}} {
		for _, s := range profile.Samples(side.report) {
			part := float64(s.NS) / float64(max(side.loopNS, 1))
			at := root
			for i := -1; i < min(len(s.Frames), maxDepth); i++ {
				if i >= 0 {
					at = at.child(s.Frames[i].Function, s.Frames[i].File)
				}
				if side.after {
					at.after += part
				} else {
					at.before += part
				}
			}
		}
	}
	return root
}

// measure sets the widths of a tree: of a box the greater of both parts, so that what has gone is there, too.
func (n *node) measure() float64 {
	sum := 0.0
	for _, c := range n.children {
		sum += c.measure()
	}
	n.width = max(sum, n.before, n.after)
	return n.width
}

// box is a node as it is drawn. X and W are in thousandths of the whole width.
type box struct {
	X, W, Y string
	Class   string
	Label   string
	Title   string
}

// boxes lays the tree out, callers above the called. It returns how many rows there are, and whether boxes were left out.
func boxes(root *node) (out []box, rows int, cut bool) {
	whole := root.measure()
	if whole <= 0 {
		return nil, 0, false
	}
	var place func(n *node, x float64, depth int)
	place = func(n *node, x float64, depth int) {
		w := n.width / whole
		if w < least || len(out) == maxBoxes {
			cut = true
			return
		}
		rows = max(rows, depth+1)
		out = append(out, box{X: fmt.Sprintf("%.2f", x*1000), W: fmt.Sprintf("%.2f", max(w*1000-0.5, 0.3)), Y: fmt.Sprint(depth * rowHeight),
			Class: class(n), Label: n.function, Title: title(n)})
		slices.SortStableFunc(n.children, func(a, b *node) int { return cmp.Compare(b.width, a.width) })
		for _, c := range n.children {
			place(c, x, depth+1)
			x += c.width / whole
		}
	}
	place(root, 0, 0)
	return out, rows, cut
}

// class is the colour of a node: red where it has grown, blue where it has shrunk, in three steps of its own size.
func class(n *node) string {
	change := (n.after - n.before) / max(n.after, n.before, math.SmallestNonzeroFloat64)
	step := 0
	for _, bound := range []float64{0.1, 0.3, 0.7} {
		if math.Abs(change) >= bound {
			step++
		}
	}
	switch {
	case step == 0:
		return "even"
	case change > 0:
		return fmt.Sprintf("up%d", step)
	}
	return fmt.Sprintf("down%d", step)
}

func title(n *node) string {
	where := n.function
	if n.file != "" {
		where += " " + n.file
	}
	return fmt.Sprintf("%s: %s of the loop time before, %s after", where, words.Percent(n.before), words.Percent(n.after))
}
