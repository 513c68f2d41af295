// SPDX-License-Identifier: Apache-2.0

// Package known decides which blockers of a report are let through because they are known. In go the rules of an ignore file, or a
// baseline, or both; what they let through is marked in the report, and so is what differs from the baseline. It reads no file
// itself.
package known

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/loopwatch/loopwatch/internal/model"
)

// Bounds of an ignore file.
const (
	maxLine  = 8 << 10 // bytes
	maxRules = 4096
	maxLines = 64 << 10
)

// Rule lets blockers through. What it does not name may be anything.
type Rule struct {
	Place    string // "ignore.txt:3"
	Text     string
	Why      string
	cause    model.Cause
	function *string
	file     *string
}

// ParseRules reads an ignore file: one rule a line, like
//
//	cause=import function=settings.* file=*/config.py  # why
//
// A star stands for any characters. What is wrong is said with name and line.
func ParseRules(name string, r io.Reader) ([]Rule, error) {
	var rules []Rule
	in := bufio.NewScanner(r)
	in.Buffer(nil, maxLine)
	line := 0
	for in.Scan() {
		if line++; line > maxLines {
			return nil, fmt.Errorf("%s:%d: more than %d lines", name, line, maxLines)
		}
		text, why := cutComment(in.Text())
		if text == "" {
			continue
		}
		rule, err := parseRule(text)
		if err == nil && len(rules) == maxRules {
			err = fmt.Errorf("more than %d rules", maxRules)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, line, err)
		}
		rule.Place, rule.Text, rule.Why = fmt.Sprintf("%s:%d", name, line), text, why
		rules = append(rules, rule)
	}
	if err := in.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("%s:%d: longer than %d bytes", name, line+1, maxLine)
	} else if err != nil {
		return nil, err
	}
	return rules, nil
}

// cutComment divides a line into a rule and what stands behind #. In a pattern, # has no space before it.
func cutComment(line string) (rule, why string) {
	for i := 0; i < len(line); i++ {
		if line[i] == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t') {
			return strings.TrimSpace(line[:i]), strings.TrimSpace(line[i+1:])
		}
	}
	return strings.TrimSpace(line), ""
}

func parseRule(text string) (r Rule, err error) {
	if !utf8.ValidString(text) {
		return r, errors.New("is no UTF-8")
	}
	given := map[string]bool{}
	for word := range strings.FieldsSeq(text) {
		key, value, ok := strings.Cut(word, "=")
		switch {
		case !ok:
			return r, fmt.Errorf("%q is no cause=, function= or file=", word)
		case given[key]:
			return r, fmt.Errorf("%s= stands there twice", key)
		case value == "":
			return r, fmt.Errorf("%s= has no value", key)
		}
		given[key] = true
		switch key {
		case "cause":
			if r.cause = model.Cause(value); !r.cause.Listed() {
				return r, fmt.Errorf("there is no cause %q; write one of %s", value, causes())
			}
		case "function":
			r.function = &value
		case "file":
			r.file = &value
		default:
			return r, fmt.Errorf("there is no %q; write cause=, function= or file=", key+"=")
		}
	}
	return r, nil
}

func causes() string {
	var words []string
	for _, c := range model.Causes() {
		words = append(words, string(c))
	}
	return strings.Join(words, ", ")
}

// matches reports whether the rule lets a blocker through.
func (r *Rule) matches(b *model.Blocker) bool {
	if r.cause != "" && r.cause != b.Cause {
		return false
	}
	if b.Culprit == nil {
		return r.function == nil && r.file == nil
	}
	return (r.function == nil || match(*r.function, b.Culprit.Function)) && (r.file == nil || match(*r.file, b.Culprit.File))
}

// match reports whether s is like a pattern in which a star stands for any characters.
func match(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	first, rest := parts[0], parts[1:]
	s, ok := strings.CutPrefix(s, first)
	if !ok || len(rest) == 0 {
		return ok && s == ""
	}
	last := rest[len(rest)-1]
	for _, part := range rest[:len(rest)-1] {
		at := strings.Index(s, part)
		if at < 0 {
			return false
		}
		s = s[at+len(part):]
	}
	return strings.HasSuffix(s, last)
}

// unmatched returns the rules that matched nothing.
func unmatched(rules []Rule, matched map[string]bool) []model.Unmatched {
	var out []model.Unmatched
	for _, r := range rules {
		if !matched[r.Place] {
			out = append(out, model.Unmatched{Rule: r.Place, Text: r.Text})
		}
	}
	return slices.Clip(out)
}
