// SPDX-License-Identifier: Apache-2.0

package block

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/loopwatch/loopwatch/internal/abi"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
)

// What the loop calls is the loop's, named or not.
func TestOnCaller(t *testing.T) {
	stack := []Address{{Code: 3}, {Code: 2}, {Code: 1}}
	for caller, want := range map[uint64]bool{2: true, 4: false, 0: false, abi.CallerRoot: false} {
		th := &Loop{CallerCode: caller}
		assert.Equal(t, want, th.onCaller(stack), caller)
	}
}

// of is a piece of so many milliseconds, taken in a callback.
func of(id uint64, sure bool, length int64) piece {
	p := tick(0, 0, frame("handler", 3))
	p.ns, p.callback = length*ms, callback{id, sure}
	return p
}

func TestShapeByCallback(t *testing.T) {
	asleep := of(0, false, 90)
	asleep.sample = &Sample{NS: 90 * ms}
	for _, test := range []struct {
		what   string
		pieces []piece
		want   model.Shape
	}{
		{"one", []piece{of(1, true, 50), of(1, true, 50)}, model.ShapeSingle},
		{"one that has half", []piece{of(1, true, 50), of(2, true, 30), of(3, true, 20)}, model.ShapeSingle},
		{"of one function, but many", []piece{of(1, true, 40), of(2, true, 40), of(3, true, 20)}, model.ShapeMany},
		{"one seen, as much unseen", []piece{of(1, true, 40), of(0, false, 60)}, ""},
		{"many seen, little unseen", []piece{of(1, true, 30), of(2, true, 30), of(3, true, 30), of(0, false, 10)}, model.ShapeMany},
		{"many seen, one of them with the unseen may be half", []piece{of(1, true, 40), of(2, true, 40), of(0, false, 20)}, ""},
		{"greenlets in one place after another", []piece{of(1, false, 100)}, ""},
		{"greenlets side by side", []piece{of(1, false, 40), of(2, false, 30), of(3, false, 30)}, model.ShapeMany},
		{"nothing known", []piece{of(0, false, 100)}, ""},
		{"one long sleep", []piece{asleep, of(0, false, 10)}, model.ShapeSingle},
		{"nothing seen", nil, ""},
	} {
		assert.Equal(t, test.want, shape(test.pieces, 100*ms), test.what)
	}
}

func TestCallbackOf(t *testing.T) {
	handle := []model.Frame{
		frame("handler", 3), {Function: "Handle._run", File: "/usr/lib/python3.11/asyncio/events.py"},
		{Function: "BaseEventLoop._run_once", File: "/usr/lib/python3.11/asyncio/base_events.py"},
	}
	asyncio := &Loop{Caller: eventloop.CallerHandle}
	s := &Sample{Callback: Callback{Frame: 8, Local: 0x1001}, Frames: handle}
	assert.Equal(t, callback{0x1000, true}, asyncio.callbackOf(s))
	assert.Equal(t, callback{}, asyncio.callbackOf(&Sample{Callback: s.Callback, Frames: handle[2:]}), "the loop's own work")
	assert.Equal(t, callback{}, asyncio.callbackOf(&Sample{Frames: handle}), "not seen")
	greenlet := &Loop{Caller: eventloop.CallerRoot}
	assert.Equal(t, callback{8, false}, greenlet.callbackOf(s))
	assert.Equal(t, callback{}, (&Loop{}).callbackOf(s))
	// Greenlets that begin one after the other have one place, and other arguments.
	main := []model.Frame{frame("handler", 3), {Function: "GreenThread.main", File: "/usr/lib/python3/dist-packages/eventlet/greenthread.py"}}
	one, other := &Sample{Callback: s.Callback, Frames: main}, &Sample{Callback: Callback{Frame: 8, Local: 0x1031}, Frames: main}
	assert.NotEqual(t, greenlet.callbackOf(one).id, greenlet.callbackOf(other).id)
	assert.False(t, greenlet.callbackOf(one).sure)
	one.Frames, other.Frames = main[:1], main[:1]
	assert.Equal(t, greenlet.callbackOf(one), greenlet.callbackOf(other), "a variable that may change")
}
