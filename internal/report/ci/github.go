// SPDX-License-Identifier: Apache-2.0

package ci

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/words"
)

// maxAnnotations is how many annotations of a kind GitHub keeps of one step.
// https://docs.github.com/en/rest/checks/runs, "Annotations": "warning annotations and error annotations are limited to 10 each".
const maxAnnotations = 10

// noticesForFacts are left for what is no blocker.
const noticesForFacts = 4

// WriteGitHub writes a report as workflow commands, one on a line, and nothing else: GitHub looks for commands of its older form
// anywhere in a line that is none of these.
// https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
func WriteGitHub(w io.Writer, r *model.Report, o Options) error {
	level := "warning"
	if o.Fail {
		level = "error"
	}
	var commands []string
	written, hidden := map[string]int{}, 0
	for _, f := range findings(r, o) {
		kind, limit := level, maxAnnotations
		if f.blocker.Known.LetThrough() {
			kind, limit = "notice", maxAnnotations-noticesForFacts
		}
		if written[kind]++; written[kind] > limit {
			hidden++
			continue
		}
		var at []string
		if f.path != "" {
			at = append(at, "file="+property(f.path))
			if f.blocker.Culprit.Line > 0 {
				at = append(at, "line="+strconv.Itoa(f.blocker.Culprit.Line))
			}
		}
		commands = append(commands, command(kind, append(at, "title="+property(f.title)), f.lines))
	}
	answer := words.AnswerOf(r)
	facts := []string{answer.Summary}
	if answer.Hint != "" {
		facts = append(facts, answer.Hint)
	}
	if hidden > 0 {
		facts = append(facts, fmt.Sprintf("%s without an annotation: GitHub shows ten of a kind.", words.Plural(int64(hidden), "more blocker")))
	}
	commands = append(commands, command("notice", []string{"title=loopwatch"}, append(facts, leftOut(r)...)))
	for _, c := range commands {
		if _, err := io.WriteString(w, c+"\n"); err != nil {
			return fmt.Errorf("write annotations: %w", err)
		}
	}
	return nil
}

func command(name string, properties, lines []string) string {
	return "::" + name + " " + strings.Join(properties, ",") + "::" + data(strings.Join(lines, "\n"))
}

// data escapes the message of a command, property what stands before it (actions/toolkit, packages/core/src/command.ts).
func data(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

func property(s string) string {
	return strings.NewReplacer(":", "%3A", ",", "%2C").Replace(data(line(s)))
}
