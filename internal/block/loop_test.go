// SPDX-License-Identifier: Apache-2.0

package block

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/loopwatch/loopwatch/internal/eventloop"
)

// Of a uvloop without frames of its own the stack at its wait tells what is inside.
func TestPlaceOfAUVLoop(t *testing.T) {
	raw := func(codes ...uint64) (out []Address) {
		for _, c := range codes {
			out = append(out, Address{Code: c})
		}
		return out
	}
	th := &Loop{Kind: eventloop.UVLoop, Anchor: []uint64{20, 10}}
	bare := eventloop.Verdict{Kind: eventloop.UVLoop, AtRest: true, Root: -1}
	for _, test := range []struct {
		what           string
		raw            []Address
		inside, atRest bool
	}{
		{"its own wait", raw(20, 10), true, true},
		{"a callback", raw(40, 30, 20, 10), true, false},
		{"after the loop", raw(10), false, false},
		{"somewhere else", raw(50, 10), false, false},
		{"no stack", nil, false, false},
	} {
		inside, atRest := th.place(test.raw, bare)
		assert.Equal(t, test.inside, inside, test.what)
		assert.Equal(t, test.atRest, atRest, test.what)
	}
	inside, atRest := th.place(raw(1), eventloop.Verdict{Kind: eventloop.UVLoop, Running: true, Root: 0})
	assert.True(t, inside, "a frame of asyncio.run shows the loop")
	assert.False(t, atRest)
}

func TestWaitNearerToTheRoot(t *testing.T) {
	l := Loop{Anchor: []uint64{4, 3, 2, 1}}
	assert.True(t, l.IsInside([]uint64{2, 1}))
	assert.False(t, l.IsInside([]uint64{4, 3, 2, 1}), "the same")
	assert.False(t, l.IsInside([]uint64{5, 4, 3, 2, 1}), "further in")
	assert.False(t, l.IsInside([]uint64{2, 7}), "on another stack")
	assert.False(t, l.IsInside(nil))
}
