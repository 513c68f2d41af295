// SPDX-License-Identifier: Apache-2.0

package track

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/loopwatch/loopwatch/internal/abi"
	"github.com/loopwatch/loopwatch/internal/block"
	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/slots"
)

// newRuntime is one of up to 3.11, whose GIL lies in the runtime itself.
func newRuntime(addr uint64, gil, size uint32) *cpython.Runtime {
	r := &cpython.Runtime{Addr: addr}
	r.Layout.RuntimeGIL, r.Layout.GILSize = gil, size
	return r
}

// A thread gives its place back once, however it is forgotten.
func TestForgottenThreadsGiveTheirSlotBack(t *testing.T) {
	c := &Tracker{threads: make(map[int]*thread), slots: slots.New(1)}
	slot, _ := c.slots.Take(7)
	th := &thread{tid: 7, slot: slot}
	c.threads[7] = th
	c.dropThread(7)
	c.releaseSlot(th)
	c.dropThread(7)
	assert.Empty(t, c.threads)
	again, ok := c.slots.Take(7)
	assert.True(t, ok)
	assert.Equal(t, slot, again)
	_, ok = c.slots.Take(7)
	assert.False(t, ok, "once")
}

func TestOwnDescriptorsOutliveOthers(t *testing.T) {
	th := &thread{}
	th.fds.Set(3, probes.Watched)
	for fd := 10; fd < 10+3*probes.FDs; fd++ {
		th.fds.Set(fd, probes.Ignored)
		assert.Contains(t, th.fds, probes.FDVerdict{FD: 3, Verdict: probes.Watched})
		assert.Contains(t, th.fds, probes.FDVerdict{FD: fd, Verdict: probes.Ignored})
		assert.LessOrEqual(t, len(th.fds), probes.FDs)
	}
	th.fds.Set(3, probes.Ignored) // the number was used again for something else
	assert.Contains(t, th.fds, probes.FDVerdict{FD: 3, Verdict: probes.Ignored})
	th.fds.Set(-1, probes.Watched)
	assert.NotContains(t, th.fds, probes.FDVerdict{FD: -1, Verdict: probes.Watched})
}

// TestCallerOfALoopMetOutsideItsWait: it may never wait in epoll.
func TestCallerOfALoopMetOutsideItsWait(t *testing.T) {
	at := []block.Address{{Code: 1}, {Code: 2}, {Code: 3}}
	frames := []model.Frame{
		{Function: "handler", File: "/srv/app.py"},
		{Function: "BaseEventLoop._run_once", File: "/usr/lib/python3.11/asyncio/base_events.py"},
		{Function: "BaseEventLoop.run_forever", File: "/usr/lib/python3.11/asyncio/base_events.py"},
	}
	for kind, want := range map[eventloop.Kind]block.Loop{
		eventloop.Asyncio:  {Kind: eventloop.Asyncio, Caller: eventloop.CallerHandle, CallerCode: 2},
		eventloop.Eventlet: {Kind: eventloop.Eventlet, Caller: eventloop.CallerRoot, CallerCode: abi.CallerRoot},
		eventloop.Gevent:   {Kind: eventloop.Gevent, Caller: eventloop.CallerRoot, CallerCode: abi.CallerRoot},
		eventloop.UVLoop:   {Kind: eventloop.UVLoop},
	} {
		th := thread{loop: block.Loop{Kind: kind}}
		th.learnCaller(at, frames)
		assert.Equal(t, want, th.loop)
	}
}
