// SPDX-License-Identifier: Apache-2.0

package correlator

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
)

func TestHolderWithMostOfTheWaitIsNamed(t *testing.T) {
	waited := func(ns int64, cause model.Cause, thread uint64, tid int, function string) piece {
		p := piece{cause: cause, ns: ns, sample: &probes.Sample{Kind: probes.Off}}
		if thread != 0 {
			p.sample.Holder = &probes.Holder{ThreadID: thread}
			p.holder = &model.Holder{TID: tid, Frames: []model.Frame{
				{Function: "wait", File: "/usr/lib/python3.11/threading.py"}, {Function: function, File: "/srv/app.py", Line: int(ns), App: true},
			}}
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
		return piece{cause: model.CauseLock, culprit: culprit, ns: ns, holder: &model.Holder{TID: tid},
			sample: &probes.Sample{Holder: &probes.Holder{ThreadID: uint64(tid)}}}
	}
	pieces := []piece{at(mine, 10, 1), at(other, 20, 2)}
	assert.Equal(t, 1, mainHolder(pieces, model.CauseLock, mine).TID)
	assert.Equal(t, 2, mainHolder(pieces, model.CauseLock, other).TID)
}

func TestGILDuringABlock(t *testing.T) {
	ran := func(ns int64, gil probes.GIL) piece {
		return piece{cause: model.CauseNative, ns: ns, sample: &probes.Sample{GIL: gil}}
	}
	native := model.CauseNative
	assert.Equal(t, model.GILHeld, gilDuring([]piece{ran(5, probes.GILHeld), ran(4, probes.GILReleased)}, native))
	assert.Equal(t, model.GILReleased, gilDuring([]piece{ran(5, probes.GILReleased), ran(4, probes.GILHeld), ran(100, probes.GILUnknown)}, native))
	assert.Empty(t, gilDuring([]piece{ran(5, probes.GILUnknown)}, native))
	assert.Empty(t, gilDuring([]piece{ran(5, probes.GILHeld)}, model.CauseSleep))
	waits := piece{cause: model.CauseGIL, ns: 5, sample: &probes.Sample{GIL: probes.GILReleased}}
	assert.Empty(t, gilDuring([]piece{waits}, model.CauseGIL), "it says so itself")
}
