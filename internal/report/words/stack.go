// SPDX-License-Identifier: Apache-2.0

package words

import (
	"strings"

	"github.com/loopwatch/loopwatch/internal/model"
)

// FrameRun is frames of a stack that stand together: one to be shown, or several of libraries to be folded away.
type FrameRun struct {
	Frames  []model.Frame
	Library string // the package that several frames belong to, where it is one
}

// maxAppFrames bounds the application frames shown of one stack; recursion makes thousands.
const maxAppFrames = 30

// FoldStack picks what to show of a stack, innermost first, as runs in order. The leaf, the root, every application frame
// (thinned out in the middle where there are very many) and the library frame that an application frame called stand
// alone; a run of two or more is of library frames to be folded away. With all set, nothing is folded.
func FoldStack(frames []model.Frame, all bool) []FrameRun {
	keep := make([]bool, len(frames))
	app := 0
	for _, f := range frames {
		if f.App {
			app++
		}
	}
	seen := 0
	for i, f := range frames {
		calledByApp := i+1 < len(frames) && frames[i+1].App
		keep[i] = all || f.App || calledByApp || i == 0 || i == len(frames)-1
		if f.App {
			seen++
		}
		if !all && app > maxAppFrames && seen > maxAppFrames/2 && app-seen >= maxAppFrames/2 {
			keep[i] = i == 0 || i == len(frames)-1
		}
	}
	var runs []FrameRun
	for i := 0; i < len(frames); {
		if keep[i] {
			runs = append(runs, FrameRun{Frames: frames[i : i+1]})
			i++
			continue
		}
		end := i
		for end < len(frames) && !keep[end] {
			end++
		}
		run := FrameRun{Frames: frames[i:end]}
		if len(run.Frames) > 1 {
			run.Library = commonPackage(run.Frames)
		}
		runs = append(runs, run)
		i = end
	}
	return runs
}

// commonPackage returns the library all frames come from, or "".
func commonPackage(frames []model.Frame) string {
	name := ""
	for i, f := range frames {
		p := packageOf(f.File)
		if i > 0 && p != name {
			return ""
		}
		name = p
	}
	return name
}

// packageOf returns the top-level package or module a library file belongs to: what follows
// site-packages, dist-packages or the python3.x directory; "" where it cannot be told.
func packageOf(file string) string {
	parts := strings.Split(file, "/")
	for i := len(parts) - 2; i >= 0; i-- {
		dir := parts[i]
		if dir == "site-packages" || dir == "dist-packages" || strings.HasPrefix(dir, "python3.") {
			return strings.TrimSuffix(parts[i+1], ".py")
		}
	}
	return ""
}
