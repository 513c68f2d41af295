// SPDX-License-Identifier: Apache-2.0

package html

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/loopwatch/loopwatch/internal/model"
)

type causeView struct {
	Class, Name, Says string
}

func causeOf(c model.Cause) causeView {
	if !c.Listed() {
		return causeView{class(model.CauseUnknown), clean(string(c)), c.Words()}
	}
	return causeView{class(c), string(c), "the loop's thread was " + c.Words()}
}

// causesHere stands in style.css for the rules that colour the causes.
const causesHere = "/* rules of the causes */"

// class returns the class of what is drawn in the colour of c.
func class(c model.Cause) string { return "c-" + string(c) }

// causeRules returns a CSS rule for each cause, one kind after another.
func causeRules() string {
	causes := model.Causes()
	slices.SortStableFunc(causes, func(x, y model.Cause) int { return cmp.Compare(x.Kind(), y.Kind()) })
	var lines []string
	for row := range slices.Chunk(causes, 4) {
		var rules []string
		for _, c := range row {
			rules = append(rules, fmt.Sprintf(".%s { --h: %s; }", class(c), c.Color()))
		}
		lines = append(lines, strings.Join(rules, " "))
	}
	return strings.Join(lines, "\n")
}
