// SPDX-License-Identifier: Apache-2.0

package known

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/summary"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"a", "a", true}, {"a", "ab", false}, {"a", "b", false}, {"*", "", true}, {"*", "any", true},
		{"a*", "abc", true}, {"a*", "bc", false}, {"*c", "abc", true}, {"*c", "abcd", false}, {"a*c", "abc", true}, {"a*c", "ac", true},
		{"a*a", "a", false}, {"*b*", "abc", true}, {"*b*", "ac", false}, {"a*b*c", "a1b2b3c", true}, {"a**c", "abc", true}, {"*ab*ab", "abab", true},
		{"*ab*ab", "ab", false}, {"*/config.py", "/srv/app/config.py", true}, {"[a]?", "[a]?", true},
	} {
		assert.Equal(t, c.want, match(c.pattern, c.s), "%q %q", c.pattern, c.s)
	}
}

// What is wrong with an ignore file is said with file, line and what.
func TestParseRules(t *testing.T) {
	rules, err := ParseRules("i", strings.NewReader("\n# only a word\n cause=import function=settings.* file=*/con#fig.py # why  not \ncause=gil\n"))
	require.NoError(t, err)
	require.Len(t, rules, 2)
	assert.Equal(t, "i:3", rules[0].Place)
	assert.Equal(t, "why  not", rules[0].Why)
	assert.Equal(t, "cause=import function=settings.* file=*/con#fig.py", rules[0].Text)
	assert.Equal(t, "*/con#fig.py", *rules[0].file)
	for text, says := range map[string]string{
		"cause=cpu\ncause=cpi":              `i:2: there is no cause "cpi"; write one of cpu, native`,
		"settings":                          `i:1: "settings" is no cause=, function= or file=`,
		"line=3":                            `i:1: there is no "line="; write cause=, function= or file=`,
		"cause=cpu cause=cpu":               `i:1: cause= stands there twice`,
		"file=":                             `i:1: file= has no value`,
		"file=\xff":                         `i:1: is no UTF-8`,
		"\n" + strings.Repeat("x", maxLine): `i:2: longer than`,
		strings.Repeat("cause=cpu\n", maxRules+1): fmt.Sprintf("i:%d: more than %d rules", maxRules+1, maxRules),
		strings.Repeat("\n", maxLines+1):          fmt.Sprintf("i:%d: more than %d lines", maxLines+1, maxLines),
	} {
		_, err := ParseRules("i", strings.NewReader(text))
		assert.ErrorContains(t, err, says)
	}
}

func FuzzParseRules(f *testing.F) {
	f.Add("cause=import function=settings.* file=*/config.py  # why")
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := ParseRules("i", strings.NewReader(text))
		if err != nil {
			return
		}
		r := observed(3, 200e6)
		require.NoError(t, Mark(r, rules, nil))
		require.LessOrEqual(t, len(r.LetThrough.Unmatched), len(rules))
	})
}

// observed is a report on blocks that sleep so long, spread over 10 s, and on one that waits for the GIL.
func observed(n int, ns int64) *model.Report {
	var blocks []model.Block
	for i := range n {
		f := &model.Frame{Function: "settings.load", File: "/srv/config.py", Line: 10 + i%2}
		blocks = append(blocks, model.Block{PID: 1, TID: 1, StartNS: int64(i) * 10e9 / int64(n), DurationNS: ns, Cause: model.CauseSleep, Culprit: f})
	}
	blocks = append(blocks, model.Block{PID: 1, TID: 1, StartNS: 5e9, DurationNS: 300e6, Cause: model.CauseGIL})
	return summary.Assemble(summary.Meta{EndedNS: 10e9, ThresholdNS: 1e8}, []model.Loop{{PID: 1, TID: 1, IdleNS: 9e9, ActiveNS: 1e9}}, blocks)
}

func TestMarkByRules(t *testing.T) {
	rules, err := ParseRules("i", strings.NewReader("function=*.load # slow disk\ncause=gil\nfunction=*\ncause=cpu\ncause=gil function=*"))
	require.NoError(t, err)
	r := observed(6, 200e6)
	require.NoError(t, Mark(r, rules[:1], nil))
	assert.False(t, LetsPass(r), "the GIL is no known blocker")
	assert.Equal(t, &model.LetThrough{Blockers: 2, Blocks: 6, TotalNS: 1200e6, Rules: 1}, r.LetThrough)
	require.NoError(t, Mark(r, rules, nil))
	assert.True(t, LetsPass(r))
	for i := range r.Blockers {
		want := &model.Known{Rule: "i:1", Why: "slow disk"}
		if r.Blockers[i].Cause == model.CauseGIL {
			want = &model.Known{Rule: "i:2"}
		}
		assert.Equal(t, want, r.Blockers[i].Known)
	}
	assert.Equal(t, []model.Unmatched{{Rule: "i:4", Text: "cause=cpu"}, {Rule: "i:5", Text: "cause=gil function=*"}}, r.LetThrough.Unmatched)
}

// A baseline lets through what is in it, at other lines and in other processes, unless it is worse.
func TestMarkByBaseline(t *testing.T) {
	standing := func(r, baseline *model.Report) map[model.Cause]model.Standing {
		require.NoError(t, Mark(r, nil, baseline))
		out := map[model.Cause]model.Standing{}
		for i := range r.Blockers {
			out[r.Blockers[i].Cause] = r.Blockers[i].Known.Baseline
		}
		return out
	}
	both := func(a, b model.Standing) map[model.Cause]model.Standing {
		return map[model.Cause]model.Standing{model.CauseSleep: a, model.CauseGIL: b}
	}
	base := observed(40, 200e6)
	same := observed(41, 201e6)
	for i := range same.Blockers {
		if c := same.Blockers[i].Culprit; c != nil {
			c.Line += 5
		}
	}
	assert.Equal(t, both(model.StandingKnown, model.StandingKnown), standing(same, base))
	assert.True(t, LetsPass(same))
	worse := observed(40, 260e6)
	assert.Equal(t, both(model.StandingWorse, model.StandingKnown), standing(worse, base))
	assert.False(t, LetsPass(worse))
	assert.Equal(t, both(model.StandingKnown, model.StandingKnown), standing(observed(40, 150e6), base), "better")

	base.Blockers = base.Blockers[:1]
	assert.Equal(t, both(model.StandingKnown, model.StandingNew), standing(observed(40, 200e6), base))
	empty := summary.Assemble(summary.Meta{ThresholdNS: 1e8}, nil, nil)
	assert.Equal(t, both(model.StandingNew, model.StandingNew), standing(observed(4, 200e6), empty))
	require.NoError(t, Mark(empty, nil, base))
	assert.True(t, LetsPass(empty))

	base.ThresholdNS = 5e7
	assert.ErrorContains(t, Mark(worse, nil, base), "another threshold")
}
