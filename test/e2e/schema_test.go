// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/schemas"
)

// checkSchema holds a document that loopwatch has written against its JSON Schema.
func checkSchema(t testing.TB, document []byte) {
	t.Helper()
	var of struct{ Schema string }
	require.NoError(t, json.Unmarshal(document, &of))
	name := strings.Replace(strings.TrimPrefix(of.Schema, "loopwatch."), "/", ".", 1)
	assert.NoError(t, schemas.Validate(name, bytes.NewReader(document)))
}
