// SPDX-License-Identifier: Apache-2.0

package template

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// at asks a map for many lines of the code at once.
func at(m *Map, codes ...int) (lines []int) {
	for _, code := range codes {
		_, line := m.Place(code)
		lines = append(lines, line)
	}
	return lines
}

func TestJinja(t *testing.T) {
	m := &Map{file: "/srv/list.html", before: 1}
	require.NoError(t, m.parseJinja("2=13&5=17&5=17&4=20"))
	// A line of the code belongs to the last entry at or before it.
	assert.Equal(t, []int{1, 1, 2, 2, 5, 5, 4, 4}, at(m, 1, 12, 13, 16, 17, 19, 20, 1<<30))
	file, _ := m.Place(13)
	assert.Equal(t, "/srv/list.html", file)
	require.NoError(t, (&Map{}).parseJinja(""))
	for _, bad := range []string{"x", "1=", "=1", "2=9&1=3", "1=0", "-1=2", "1=99999999999999999999"} {
		assert.ErrorIs(t, (&Map{}).parseJinja(bad), errBadMap, bad)
	}
	many := strings.Builder{}
	for range maxLines + 1 {
		many.WriteString("1=1&")
	}
	assert.NoError(t, (&Map{}).parseJinja(many.String()), "the same line again takes no room")
	many.Reset()
	for i := range maxLines + 1 {
		fmt.Fprintf(&many, "1=%d&", i+1)
	}
	assert.ErrorIs(t, (&Map{}).parseJinja(many.String()), errBadMap, "too many")
}

const tornadoCode = `def _tt_execute():  # list.html:0
    _tt_buffer = []  # list.html:0
    for x in items:  # list.html:2 (via base.html:3)
        _tt_tmp = f(x,
  "  # no.html:9 ",
  y)  # sub/row.html:5 (via list.html:2, base.html:3)
    return _tt_utf8('').join(_tt_buffer)  # list.html:0
`

func TestTornado(t *testing.T) {
	m := tornadoMap(tornadoCode, "/srv/templates", "list.html")
	assert.Equal(t, "/srv/templates/list.html", m.File())
	for code, want := range map[int]place{
		3: {file: "/srv/templates/list.html", line: 2},
		4: {file: "/srv/templates/sub/row.html", line: 5}, // a statement of several lines: its end has the comment
		6: {file: "/srv/templates/sub/row.html", line: 5},
		9: {file: "/srv/templates/list.html"}, // behind the end
	} {
		file, line := m.Place(code)
		assert.Equal(t, want, place{file: file, line: line}, code)
	}
	m = tornadoMap(tornadoCode, "", "list.html")
	file, line := m.Place(3)
	assert.Equal(t, "<template list.html>", file)
	assert.Equal(t, 2, line)
	assert.Equal(t, "<template>", tornadoMap(tornadoCode, "/srv", "<string>").File())
	for text, want := range map[string]string{
		"x = 1  # a b.html:3": "a b.html", "x  # a.html:0": "", "x  # a.html": "", "x": "", "  # :3": "", "  # a:b": "", "x  # c:/a.html:7 (via b:1)": "c:/a.html",
	} {
		name, _ := comment(text)
		assert.Equal(t, want, name, text)
	}
}

func TestMako(t *testing.T) {
	code := "x\n__M_BEGIN_METADATA\n{\"line_map\": {\"22\": 1, \"15\": 0, \"24\": 3, \"32\": 26}}\n__M_END_METADATA\n"
	m, err := makoMap(code, "/srv/a.mako")
	require.NoError(t, err)
	assert.Equal(t, []int{0, 0, 0, 1, 1, 3, 3}, at(m, 1, 15, 21, 22, 23, 24, 31))
	for _, bad := range []string{"", "__M_BEGIN_METADATA{}", "__M_BEGIN_METADATA{__M_END_METADATA", `__M_BEGIN_METADATA{"line_map":{"a":1}}__M_END_METADATA`, `__M_BEGIN_METADATA{"line_map":{"-1":1,"2":1}}__M_END_METADATA`} {
		_, err := makoMap(bad, "")
		assert.ErrorIs(t, err, errBadMap, bad)
	}
	m, err = makoMap(`__M_BEGIN_METADATA{"line_map":{}}__M_END_METADATA`, "/srv/a.mako")
	require.NoError(t, err)
	assert.Equal(t, []int{0}, at(m, 7))
}

func FuzzMaps(f *testing.F) {
	f.Add("1=13&2=15")
	f.Add(tornadoCode)
	f.Add("__M_BEGIN_METADATA\n{\"line_map\": {\"22\": 1}}\n__M_END_METADATA")
	f.Fuzz(func(t *testing.T, text string) {
		maps := []*Map{tornadoMap(text, "/srv", "a"), {}}
		_ = maps[1].parseJinja(text)
		if m, err := makoMap(text, "a"); err == nil {
			maps = append(maps, m)
		}
		for _, m := range maps {
			require.LessOrEqual(t, len(m.places), maxLines)
			for _, code := range []int{-1, 0, 1, 14, 1 << 40} {
				_, line := m.Place(code)
				require.GreaterOrEqual(t, line, 0)
			}
		}
	})
}
