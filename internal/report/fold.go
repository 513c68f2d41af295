// SPDX-License-Identifier: Apache-2.0

package report

import (
	"path"
	"strings"

	"github.com/loopwatch/loopwatch/internal/model"
)

// stackLine is one line of a stack as people read it: a frame, or several left out.
type stackLine struct {
	frame   *model.Frame
	folded  int    // frames left out, where frame is nil
	library string // the package they belong to, where it is one
}

// maxAppFrames bounds the application frames shown of one stack; recursion makes thousands.
const maxAppFrames = 30

// foldStack picks what to show of a stack, innermost first. The leaf, the root, every
// application frame (thinned out in the middle where there are very many) and the library
// frame an application frame called stay; other library frames are folded into a count. A
// fold always stands for two frames or more. With all set, nothing is folded.
func foldStack(frames []model.Frame, all bool) []stackLine {
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
	var lines []stackLine
	for i := 0; i < len(frames); {
		if keep[i] {
			lines = append(lines, stackLine{frame: &frames[i]})
			i++
			continue
		}
		end := i
		for end < len(frames) && !keep[end] {
			end++
		}
		if end-i == 1 {
			lines = append(lines, stackLine{frame: &frames[i]})
		} else {
			lines = append(lines, stackLine{folded: end - i, library: commonPackage(frames[i:end])})
		}
		i = end
	}
	return lines
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

// shortCommand returns what people call a process: the script, the module, or the program.
// The command line is joined by spaces, so a path with a space in it is cut short; that
// only costs beauty.
func shortCommand(command string) string {
	const most = 64 // a whole program may follow -c
	words := make([]string, 0, most)
	for word := range strings.FieldsSeq(command) {
		if words = append(words, word); len(words) == most {
			break
		}
	}
	if len(words) == 0 {
		return "?"
	}
	program := path.Base(words[0])
	if !strings.HasPrefix(program, "python") && !strings.HasPrefix(program, "pypy") {
		return strings.TrimSuffix(program, ":") // setproctitle writes "gunicorn: worker [app]"
	}
	for i := 1; i < len(words); i++ {
		switch word := words[i]; {
		case word == "-m" && i+1 < len(words):
			return words[i+1]
		case word == "-c":
			return program + " -c"
		case word == "-W" || word == "-X":
			i++ // takes an argument
		case !strings.HasPrefix(word, "-"):
			return path.Base(word)
		}
	}
	return program
}
