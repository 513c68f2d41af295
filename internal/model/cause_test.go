// SPDX-License-Identifier: Apache-2.0

package model

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTableOfCauses(t *testing.T) {
	names, words, colors, pseudo := map[Cause]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, c := range Causes() {
		assert.Regexp(t, "^[a-z]+$", string(c))
		assert.Regexp(t, "^#[0-9a-f]{6}$", c.Color(), c)
		assert.NotEmpty(t, c.Words(), c)
		assert.True(t, c.Listed(), c)
		if !c.BlamesLine() {
			assert.NotEmpty(t, c.PseudoFrame(), "%s: its time needs a frame", c)
		}
		if name := c.PseudoFrame(); name != "" {
			assert.Regexp(t, `^\[.+\]$`, name, c)
			assert.False(t, pseudo[name], name)
			pseudo[name] = true
		}
		assert.False(t, names[c] || words[c.Words()] || colors[c.Color()], "%s has a name, words or a colour twice", c)
		names[c], words[c.Words()], colors[c.Color()] = true, true, true
	}
	assert.Equal(t, CauseUnknown, causes[len(causes)-1].cause, "row falls back to the last one")
}

// A report of another version may have causes that are not listed.
func TestUnlistedCause(t *testing.T) {
	for _, c := range []Cause{"", "new", "CPU"} {
		assert.False(t, c.Listed())
		assert.True(t, c.BlamesLine())
		assert.Equal(t, CauseUnknown.Words(), c.Words())
		assert.Equal(t, CauseUnknown.Color(), c.Color())
		assert.Equal(t, KindUnknown, c.Kind())
		assert.Empty(t, c.PseudoFrame())
	}
}

func TestNobodyCanChangeTheTable(t *testing.T) {
	list := Causes()
	list[0] = "changed"
	assert.Equal(t, CauseCPU, Causes()[0])
}

// Every constant of the type has its row.
func TestEveryCauseHasARow(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "cause.go", nil, 0)
	require.NoError(t, err)
	var constants []Cause
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if of, ok := v.Type.(*ast.Ident); ok && of.Name == "Cause" {
			name, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			require.NoError(t, err)
			constants = append(constants, Cause(name))
		}
		return true
	})
	assert.Equal(t, constants, Causes())
}

var section = regexp.MustCompile("(?m)^## `([a-z_]+)`: .+$")

// docs/causes.md has one section for each cause, which says where no line is to blame.
func TestCausesAreDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/causes.md")
	require.NoError(t, err)
	text := string(b)
	sections := map[Cause]string{}
	for _, at := range section.FindAllStringSubmatchIndex(text, -1) {
		body, _, _ := strings.Cut(text[at[1]:], "\n## ")
		c := Cause(text[at[2]:at[3]])
		assert.NotContains(t, sections, c, "one section each")
		sections[c] = strings.TrimSpace(body)
	}
	for _, c := range Causes() {
		if assert.NotEmpty(t, sections[c], "docs/causes.md needs a section \"## `%s`: …\"", c) {
			assert.Equal(t, !c.BlamesLine(), strings.Contains(sections[c], "culprit is null"), "docs/causes.md: %s: is the culprit null?", c)
		}
	}
}
