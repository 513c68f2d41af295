// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
)

func fallOver() error { panic("index out of range") }

func TestGuard(t *testing.T) {
	assert.NoError(t, Guard(func() error { return nil }))
	failed := errors.New("failed")
	assert.Equal(t, failed, Guard(func() error { return failed }))

	err := Guard(fallOver)
	assert.EqualError(t, err, "internal error: index out of range; set LOOPWATCH_DEBUG=1 to see the trace and report it as a bug")
	assert.Same(t, err, Guard(func() error { panic(err) }), "the first trace is kept")

	var out bytes.Buffer
	t.Setenv(debugEnv, "")
	Trace(&out, err)
	assert.Empty(t, out.String())
	t.Setenv(debugEnv, "1")
	Trace(&out, failed)
	assert.Empty(t, out.String())
	Trace(&out, err)
	assert.Contains(t, out.String(), "fallOver")
}
