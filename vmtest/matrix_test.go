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
		Name: "5.10", Suite: "bullseye", Package: "linux-image-cloud-amd64", Root: "bullseye", Interpreters: []string{"python3.9"},
	}, rows[0], "the oldest kernel there is support for")

	some, err := Rows("6.12", "6.1")
	require.NoError(t, err)
	require.Len(t, some, 2)
	assert.Equal(t, "6.12", some[0].Name, "in the order asked for")

	_, err = Rows("2.4")
	assert.ErrorContains(t, err, `unknown kernel "2.4"; matrix.txt has 5.10, `)
}

func TestMatrixRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"a s p r\n":                     "line 1: 4 columns, not 5",
		"# c\n\na s p r i\na s p r i\n": `line 4: a second row "a"`,
	} {
		_, err := parseMatrix(strings.NewReader(text))
		assert.ErrorContains(t, err, want)
	}
}
