// SPDX-License-Identifier: Apache-2.0

package safetext

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLine(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "Handler.get", "Handler.get"},
		{"letters of other scripts stay", "größe 関数 функция", "größe 関数 функция"},
		{"newline", "a\nb\r\tc", `a\nb\r\tc`},
		{"terminal escape", "\x1b[2J\x1b]0;title\a", `\x1b[2J\x1b]0;title\x07`},
		{"c1 control", "a\u009b31mb", `a\u009b31mb`},
		{"right-to-left override", "abc\u202edef", `abc\u202edef`},
		{"isolates", "\u2066a\u2069", `\u2066a\u2069`},
		{"zero width", "pass\u200bword\ufeff", `pass\u200bword\ufeff`},
		{"line separator", "a\u2028b\u2029c", `a\u2028b\u2029c`},
		{"hangul filler and variation selector", "a\u3164b\ufe0fc", `a\u3164b\ufe0fc`},
		{"tag characters", "a\U000e0041", `a\U000e0041`},
		{"invalid utf-8", "a\xff\xc3(", `a\xff\xc3(`},
		{"a replacement character that was there", "a\ufffdb", "a\ufffdb"},
		{"odd spaces", "a\u00a0b\u3000c", "a b c"},
		{"pile of marks", "e" + strings.Repeat("\u0301", 6), "e" + strings.Repeat("\u0301", 4) + `\u0301\u0301`},
		{"nul", "a\x00b", `a\x00b`},
	} {
		t.Run(c.name, func(t *testing.T) { assert.Equal(t, c.want, Line(c.in)) })
	}
}

func TestCuts(t *testing.T) {
	assert.Equal(t, "abc", Cut("abc", 3))
	assert.Equal(t, "ab…", Cut("abcd", 3))
	assert.Equal(t, "", Cut("abcd", 0))
	assert.Equal(t, "…", Cut("abcd", 1))
	assert.Equal(t, "a…f", Middle("abcdef", 3))
	assert.Equal(t, "…", Middle("abcdef", 1))
	assert.Equal(t, "関…数", Middle("関関数数", 5), "wide characters count two columns")
	assert.Equal(t, "関…", Cut("関関数数", 4), "half a character is never shown")
	assert.Equal(t, "a  ", Pad("a", 3))
	assert.Equal(t, "関 ", Pad("関", 3))
}

func TestBound(t *testing.T) {
	assert.Equal(t, "a\nb", Bound("a\nb", 10), "machine formats keep control characters")
	assert.Equal(t, "a\ufffdb", Bound("a\xffb", 10))
	assert.Equal(t, "aaa…bbbb", Bound(strings.Repeat("a", 50)+strings.Repeat("b", 50), 10))
	for limit := range 40 {
		got := Bound(strings.Repeat("é\xff関", 30), limit)
		assert.LessOrEqual(t, len(got), limit)
		assert.True(t, utf8.ValidString(got))
	}
}

// FuzzLine holds the promises of the package for any bytes and any width.
// JSON keeps what it says, and no terminal obeys it.
func TestJSON(t *testing.T) {
	for _, s := range []string{"", "plain", "Grüße 関\U0001f600", "a\u009b31mb\x7f\u202ec\u200bd\u2028\ufeff\U000e0001\ufe0f", "\x1b]0;x\a\r\n\"", "a\ufffdb", "e" + strings.Repeat("\u0301", 9)} {
		encoded, err := json.Marshal(map[string]string{"s": s})
		require.NoError(t, err)
		safe := JSON(encoded)
		var back map[string]string
		require.NoError(t, json.Unmarshal(safe, &back), "%s", safe)
		assert.Equal(t, s, back["s"])
		assert.Equal(t, Line(string(safe)), string(safe), "%q", s)
	}
	assert.Contains(t, string(JSON([]byte(`"Grüße 関"`))), "Grüße 関", "stays readable")
}

func FuzzLine(f *testing.F) {
	f.Add("Handler.get", 5)
	f.Add("\x1b[31m\u202e関数\xff\n", 3)
	f.Add("e\u0301\u200d👩‍👩‍👧", 2)
	f.Fuzz(func(t *testing.T, in string, columns int) {
		columns = min(max(columns, -1), 200)
		line := Line(in)
		if !utf8.ValidString(line) {
			t.Fatalf("Line(%q) is no UTF-8", in)
		}
		for _, r := range line {
			if !unicode.IsPrint(r) || unicode.Is(unicode.Bidi_Control, r) {
				t.Fatalf("Line(%q) lets %U through", in, r)
			}
		}
		if Line(line) != line {
			t.Fatalf("Line(%q) is not stable", in)
		}
		for name, got := range map[string]string{"Cut": Cut(line, columns), "Middle": Middle(line, columns)} {
			if Width(got) > max(columns, 0) {
				t.Fatalf("%s(%q, %d) takes %d columns", name, line, columns, Width(got))
			}
		}
		if got := Bound(in, 64); len(got) > 64 || !utf8.ValidString(got) {
			t.Fatalf("Bound(%q) = %q", in, got)
		}
	})
}
