// SPDX-License-Identifier: Apache-2.0

package listing

import (
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/syscalls"

	"github.com/loopwatch/loopwatch/internal/probes/host"
)

// TestCountReturns: what this thread returns from is counted, what it does otherwise is not, nor what others do.
func TestCountReturns(t *testing.T) {
	if err := host.Tracefs(); err != nil {
		t.Skip(err)
	}
	if unix.Geteuid() != 0 {
		t.Skip("needs root")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	require.NoError(t, err)
	defer unix.Close(epoll)
	wait := func() {
		_, err := unix.EpollWait(epoll, make([]unix.EpollEvent, 1), 0)
		assert.NoError(t, err)
	}

	wait()
	l := &Listing{sysExit: sync.OnceValues(sysExit)}
	r, err := l.CountReturns(unix.Gettid(), syscalls.Waiting())
	require.NoError(t, err)
	defer r.Close()
	for range 3 {
		wait()
		_ = unix.Getppid()
	}
	other := make(chan struct{})
	go func() { defer close(other); wait() }() // on a thread of its own, as this one is taken
	<-other
	n, err := r.Count()
	require.NoError(t, err)
	assert.EqualValues(t, 3, n)

	_, err = l.CountReturns(1<<22+1, syscalls.Waiting())
	assert.ErrorIs(t, err, unix.ESRCH)
}
