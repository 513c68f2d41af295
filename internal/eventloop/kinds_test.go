// SPDX-License-Identifier: Apache-2.0

package eventloop

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// Every kind that a stack can show is in the list, and no other.
func TestKinds(t *testing.T) {
	known := map[Kind]bool{UVLoop: true} // it has no frames of its own
	for _, l := range loops {
		known[l.kind] = true
	}
	for _, b := range borrowers {
		known[b.kind] = true
	}
	listed := map[Kind]bool{}
	for _, k := range Kinds() {
		listed[k] = true
	}
	assert.Equal(t, known, listed)
}
