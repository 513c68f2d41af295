// SPDX-License-Identifier: Apache-2.0

package words

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
)

// UnwatchedGroups sorts processes that are not watched by reason: first those known to be Python, and of them first the
// reason that most have.
func UnwatchedGroups(all []model.Unsupported) [][]model.Unsupported {
	type key struct {
		maybe  bool
		reason string
	}
	at := make(map[key]int)
	var groups [][]model.Unsupported
	for _, u := range slices.SortedFunc(slices.Values(all), func(x, y model.Unsupported) int { return cmp.Compare(x.PID, y.PID) }) {
		k := key{u.Maybe, u.Reason}
		i, known := at[k]
		if !known {
			i = len(groups)
			at[k], groups = i, append(groups, nil)
		}
		groups[i] = append(groups[i], u)
	}
	slices.SortStableFunc(groups, func(x, y []model.Unsupported) int {
		if x[0].Maybe != y[0].Maybe {
			if x[0].Maybe {
				return 1
			}
			return -1
		}
		return cmp.Compare(len(y), len(x))
	})
	return groups
}

// UnwatchedText says who a group is, so many of them by name, and why they are not watched.
func UnwatchedText(group []model.Unsupported, names int) (who, why string) {
	var list []string
	for _, u := range group[:min(names, len(group))] {
		list = append(list, LoopName(model.Loop{PID: u.PID, TID: u.PID, Command: u.Command}))
	}
	who = strings.Join(list, ", ")
	if more := len(group) - len(list); more > 0 {
		who += fmt.Sprintf(" and %d more", more)
	}
	if group[0].Maybe {
		why = "may be a Python, "
	}
	return who, why + safetext.Middle(safetext.Line(group[0].Reason), 200)
}

// UnwatchedLines says it of all groups, a line each, so many processes of each by name. Where a line is wider than width
// (0: any), it goes on in an indented one.
func UnwatchedLines(groups [][]model.Unsupported, names, width int) []string {
	lines := make([]string, 0, len(groups))
	for _, g := range groups {
		who, why := UnwatchedText(g, names)
		lines = append(lines, Hang("  "+who+": "+why, width))
	}
	return lines
}

// Unwatched counts the Pythons among processes that are not watched, and those that may be some.
func Unwatched(all []model.Unsupported) (pythons, maybe int) {
	for _, u := range all {
		if u.Maybe {
			maybe++
		} else {
			pythons++
		}
	}
	return pythons, maybe
}

// sentence makes a sentence of a reason.
func sentence(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[size:] + "."
}

// NoneOf begins a sentence on so many Python processes.
func NoneOf(n int) string {
	if n == 1 {
		return "not even the one Python process here"
	}
	return fmt.Sprintf("none of the %d Python processes here", n)
}

// Mostly says, of the reasons why no Python is watched, the one that most of them share.
func Mostly(all []model.Unsupported) string {
	group := UnwatchedGroups(all)[0]
	text := sentence(safetext.Middle(safetext.Line(group[0].Reason), 200))
	if pythons, _ := Unwatched(all); len(group) < pythons {
		text += fmt.Sprintf(" This is so of %d of them; the other reasons stand below.", len(group))
	}
	return text
}
