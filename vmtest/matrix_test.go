// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMatrix(t *testing.T) {
	rows, err := Matrix()
	require.NoError(t, err)
	require.NotEmpty(t, rows)
	assert.Equal(t, Row{
		Name: "5.10", Arch: "amd64", Suite: "bullseye", Package: "linux-image-cloud-amd64", Root: "bullseye", Interpreters: []string{"python3.9"},
		Modes: []string{"fentry", "tracepoint"},
	}, rows[0], "the oldest kernel there is support for")

	some, err := Rows("amd64", "6.12", "6.1")
	require.NoError(t, err)
	require.Len(t, some, 2)
	assert.Equal(t, "6.12", some[0].Name, "in the order asked for")

	both := Kernels([]Row{{Name: "a", Suite: "s", Root: "r"}, {Name: "b", Suite: "s", Root: "r"}, {Name: "c", Suite: "t", Root: "r"}})
	require.Len(t, both, 2)
	assert.Equal(t, "c", both[1].Name)

	_, err = Rows("amd64", "2.4")
	require.ErrorContains(t, err, `unknown kernel "2.4"; matrix.txt has for amd64: 5.10, `)
	_, err = Rows("m68k")
	assert.ErrorContains(t, err, `unknown architecture "m68k"`)
}

func TestMatrixRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"a amd64 s p r i\n":               "line 1: 6 columns, not 7",
		"a amd64 s p r i fentry,kprobe\n": `line 1: unknown mode "kprobe"`,
		"a vax s p r i fentry\n":          `line 1: unknown architecture "vax"`,
		"# c\n\na amd64 s p r i drills\na arm64 s p r i drills\na amd64 s p r i drills\n": `line 5: a second row "a amd64"`,
	} {
		_, err := parseMatrix(strings.NewReader(text))
		assert.ErrorContains(t, err, want)
	}
}
