// SPDX-License-Identifier: Apache-2.0

package block

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/cause"
	"github.com/loopwatch/loopwatch/internal/model"
)

func TestHolderWithMostOfTheWaitIsNamed(t *testing.T) {
	waited := func(ns int64, cause model.Cause, thread uint64, tid int, function string) piece {
		p := piece{cause: cause, ns: ns, sample: &Sample{}}
		if thread != 0 {
			p.sample.Holder = &Holder{ThreadPointer: thread, Holder: model.Holder{TID: tid, Frames: []model.Frame{
				{Function: "wait", File: "/usr/lib/python3.11/threading.py"}, {Function: function, File: "/srv/app.py", Line: int(ns), App: true},
			}}}
		}
		return p
	}
	gil := model.CauseGIL
	h := mainHolder([]piece{
		waited(10, gil, 1, 101, "a"), waited(15, gil, 2, 102, "b"), waited(9, gil, 1, 101, "a"),
		waited(100, model.CauseSleep, 3, 103, "c"),
	}, gil, nil)
	require.NotNil(t, h)
	assert.Equal(t, 101, h.TID)
	assert.Equal(t, 10, h.Frames[1].Line, "the stack of its longest wait")

	// The same thread in two functions.
	h = mainHolder([]piece{waited(10, gil, 1, 101, "a"), waited(12, gil, 1, 101, "b")}, gil, nil)
	require.NotNil(t, h)
	assert.Equal(t, "b", h.Frames[1].Function)

	// A thread found once is found for all its waits.
	h = mainHolder([]piece{waited(10, gil, 1, 0, "a"), waited(5, gil, 1, 101, "a")}, gil, nil)
	require.NotNil(t, h)
	assert.Equal(t, 101, h.TID)

	// Where most of the wait is dark, nobody is named.
	assert.Nil(t, mainHolder([]piece{waited(10, gil, 1, 101, "a"), waited(11, gil, 0, 0, "")}, gil, nil))
	assert.Nil(t, mainHolder([]piece{waited(10, model.CauseSleep, 1, 101, "a")}, model.CauseSleep, nil))
	assert.Nil(t, mainHolder(nil, gil, nil))
}

func TestLockHolderIsThatOfTheCulprit(t *testing.T) {
	mine, other := &model.Frame{Function: "mine", File: "/a.py"}, &model.Frame{Function: "other", File: "/a.py"}
	at := func(culprit *model.Frame, ns int64, tid int) piece {
		return piece{cause: model.CauseLock, culprit: culprit, ns: ns,
			sample: &Sample{Holder: &Holder{ThreadPointer: uint64(tid), Holder: model.Holder{TID: tid}}}}
	}
	pieces := []piece{at(mine, 10, 1), at(other, 20, 2)}
	assert.Equal(t, 1, mainHolder(pieces, model.CauseLock, mine).TID)
	assert.Equal(t, 2, mainHolder(pieces, model.CauseLock, other).TID)
}

// A wait in slices: all but the last end by timeout, and who ended the last is who was waited for.
func TestHolderOfAWaitInSlices(t *testing.T) {
	line := func(n int) *model.Frame { return &model.Frame{Function: "call", File: "/a.py", Line: n} }
	slice := func(culprit *model.Frame, ns int64, tid int) piece {
		p := piece{cause: model.CauseLock, culprit: culprit, ns: ns, sample: &Sample{}}
		if tid != 0 {
			p.sample.Holder = &Holder{ThreadPointer: uint64(tid), Holder: model.Holder{TID: tid}}
		}
		return p
	}
	runs := piece{cause: model.CauseCPU, culprit: line(5), ns: 1, sample: &Sample{}}
	h := mainHolder([]piece{slice(line(5), 50, 0), runs, slice(line(5), 50, 0), slice(line(5), 3, 7)}, model.CauseLock, line(5))
	require.NotNil(t, h)
	assert.Equal(t, 7, h.TID)
	assert.Nil(t, mainHolder([]piece{slice(line(5), 50, 0), slice(line(6), 3, 7)}, model.CauseLock, line(5)), "another line waited for something else")
	assert.Nil(t, mainHolder([]piece{slice(line(5), 3, 7), slice(line(5), 50, 0)}, model.CauseLock, line(5)), "what was released before is not what is waited for now")
}

func TestGILDuringABlock(t *testing.T) {
	ran := func(ns int64, gil model.GIL) piece {
		return piece{cause: model.CauseNative, ns: ns, sample: &Sample{Busy: cause.Interpreter{GIL: gil}}}
	}
	native := model.CauseNative
	assert.Equal(t, model.GILHeld, gilDuring([]piece{ran(5, model.GILHeld), ran(4, model.GILReleased)}, native))
	assert.Equal(t, model.GILReleased, gilDuring([]piece{ran(5, model.GILReleased), ran(4, model.GILHeld), ran(100, "")}, native))
	assert.Empty(t, gilDuring([]piece{ran(5, "")}, native))
	assert.Empty(t, gilDuring([]piece{ran(5, model.GILHeld)}, model.CauseSleep))
	waits := piece{cause: model.CauseGIL, ns: 5, sample: &Sample{Busy: cause.Interpreter{GIL: model.GILReleased}}}
	assert.Empty(t, gilDuring([]piece{waits}, model.CauseGIL), "it says so itself")
}
