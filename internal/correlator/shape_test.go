// SPDX-License-Identifier: Apache-2.0

package correlator

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
)

// What the loop calls is the loop's, named or not.
func TestOnCaller(t *testing.T) {
	stack := []cpython.RawFrame{{Code: 3}, {Code: 2}, {Code: 1}}
	for caller, want := range map[uint64]bool{2: true, 4: false, 0: false, probes.CallerRoot: false} {
		th := &thread{callerCode: caller}
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
	asleep.sample = &probes.Sample{Kind: probes.Off, NS: 90 * ms}
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
		p := period{end: 100 * ms, pieces: test.pieces}
		assert.Equal(t, test.want, p.shape(), test.what)
	}
}

func TestCallbackOf(t *testing.T) {
	handle := []model.Frame{
		frame("handler", 3), {Function: "Handle._run", File: "/usr/lib/python3.11/asyncio/events.py"},
		{Function: "BaseEventLoop._run_once", File: "/usr/lib/python3.11/asyncio/base_events.py"},
	}
	asyncio := &thread{caller: eventloop.CallerHandle}
	s := &probes.Sample{Callback: probes.Callback{Frame: 8, Local: 0x1001}}
	assert.Equal(t, callback{0x1000, true}, asyncio.callbackOf(s, handle))
	assert.Equal(t, callback{}, asyncio.callbackOf(s, handle[2:]), "the loop's own work")
	assert.Equal(t, callback{}, asyncio.callbackOf(&probes.Sample{}, handle), "not seen")
	greenlet := &thread{caller: eventloop.CallerRoot}
	assert.Equal(t, callback{8, false}, greenlet.callbackOf(s, handle))
	assert.Equal(t, callback{}, (&thread{}).callbackOf(s, handle))
}
