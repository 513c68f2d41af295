// SPDX-License-Identifier: Apache-2.0

package process

import (
	"os"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Of linux/userfaultfd.h.
const (
	uffdAPI      = 0xc018aa3f
	uffdRegister = 0xc020aa00
	uffdZero     = 0xc020aa04
)

func ioctl(t *testing.T, fd uintptr, request uintptr, argument unsafe.Pointer) {
	t.Helper()
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, request, uintptr(argument))
	require.Zero(t, errno)
}

// unserved returns the address of a page of this process that nobody serves, and what serves it.
func unserved(t *testing.T) (addr uint64, serve func()) {
	t.Helper()
	fd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC|unix.O_NONBLOCK, 0, 0)
	require.Zero(t, errno, "userfaultfd")
	api := [3]uint64{0xaa}
	ioctl(t, fd, uffdAPI, unsafe.Pointer(&api))
	size := uint64(os.Getpagesize())
	at, err := unix.MmapPtr(-1, 0, nil, uintptr(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	require.NoError(t, err)
	addr = uint64(uintptr(at))
	const missing = 1
	register := [4]uint64{addr, size, missing}
	ioctl(t, fd, uffdRegister, unsafe.Pointer(&register))
	served := false
	serve = func() {
		if !served {
			served = true
			zero := [4]uint64{addr, size}
			ioctl(t, fd, uffdZero, unsafe.Pointer(&zero))
		}
	}
	t.Cleanup(func() {
		serve()
		require.Eventually(t, func() bool { return hanging.Load() == 0 }, 10*time.Second, time.Millisecond)
		_ = unix.MunmapPtr(at, uintptr(size))
		_ = unix.Close(int(fd))
	})
	return addr, serve
}

// TestMemoryThatDoesNotAnswer: a read of it is given up, and so are all others until it has come back.
func TestMemoryThatDoesNotAnswer(t *testing.T) {
	p, err := Open(os.Getpid())
	require.NoError(t, err)
	m := p.Memory()
	there := []byte("there")
	good := uint64(uintptr(unsafe.Pointer(&there[0])))
	got := make([]byte, len(there))
	require.NoError(t, m.Read(good, got))
	assert.Equal(t, there, got)

	addr, serve := unserved(t)
	hang := make([]byte, 8)
	hang[0] = 7
	assert.ErrorIs(t, m.Read(addr, hang), ErrNoAnswer)
	assert.True(t, p.Silent())
	memory, files := p.GivenUp()
	assert.EqualValues(t, 1, memory)
	assert.Zero(t, files)

	begun := time.Now()
	for range 1000 {
		assert.ErrorIs(t, m.Read(good, got), ErrNoAnswer)
	}
	_, err = p.Maps()
	assert.ErrorIs(t, err, ErrNoAnswer)
	assert.Equal(t, "["+p.Comm+"]", p.Cmdline())
	assert.Less(t, time.Since(begun), 100*patience, "nobody waits for it any more")
	_, err = p.StatMapping(Mapping{})
	assert.NotErrorIs(t, err, ErrNoAnswer, "its files may answer")

	serve()
	require.Eventually(t, func() bool { return !p.Silent() }, 10*time.Second, time.Millisecond)
	require.NoError(t, m.Read(good, got))
	require.NoError(t, m.Read(addr, make([]byte, 8)))
	assert.EqualValues(t, 7, hang[0], "what has been given up writes to nobody's memory")
}

// TestReadEachThatDoesNotAnswer: of places none counts as read where one of them hangs.
func TestReadEachThatDoesNotAnswer(t *testing.T) {
	p, err := Open(os.Getpid())
	require.NoError(t, err)
	there := []byte("there")
	good := uint64(uintptr(unsafe.Pointer(&there[0])))
	addr, serve := unserved(t)
	places := []Place{{Addr: good, P: make([]byte, len(there))}, {Addr: addr, P: make([]byte, 8)}}
	ReadEach(p.Memory(), places)
	assert.Nil(t, places[0].Seen())
	assert.Nil(t, places[1].Seen())
	serve()
	require.Eventually(t, func() bool { return !p.Silent() }, 10*time.Second, time.Millisecond)
	ReadEach(p.Memory(), places)
	assert.Equal(t, there, places[0].Seen())
	assert.Equal(t, make([]byte, 8), places[1].Seen())
}

// TestSlowAnswers: a process that answers each call just in time is left alone after some of them.
func TestSlowAnswers(t *testing.T) {
	c := new(caller)
	now := time.Now()
	calls := 0
	for ; calls < 1000 && c.mayCall(now); calls++ {
		now = now.Add(patience / 2)
		c.charge(patience/2, now)
	}
	assert.EqualValues(t, slowSaved/(patience/2)+1, calls)
	assert.False(t, c.mayCall(now))
	assert.EqualValues(t, 1, c.givenUp.Load())
	now = now.Add(leftAlone)
	assert.True(t, c.mayCall(now), "after some time it is tried again")

	c = new(caller)
	for range 1000 {
		now = now.Add(slowShare * slow)
		c.charge(slow, now)
		require.True(t, c.mayCall(now), "now and then a call may be slow")
	}
}

// TestOnlySleepCounts: what this program works at is not held against the process that is read; what it waits for is.
func TestOnlySleepCounts(t *testing.T) {
	c := new(caller)
	for range 5 {
		require.NoError(t, c.do(func() {
			for begun := time.Now(); time.Since(begun) < 2*slow; {
			}
		}))
	}
	require.NoError(t, c.fill(make([]byte, 1), func([]byte) error {
		for begun := time.Now(); time.Since(begun) < 2*slow; {
		}
		return nil
	}))
	worked := c.spent
	pipe := [2]int{}
	require.NoError(t, unix.Pipe(pipe[:]))
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	require.NoError(t, c.do(func() {
		poll := []unix.PollFd{{Fd: int32(pipe[0]), Events: unix.POLLIN}}
		_, _ = unix.Poll(poll, int(200*slow/time.Millisecond))
	}))
	assert.GreaterOrEqual(t, c.spent-worked, 180*slow)
}

// TestManyHangingCalls: calls that hang hold threads, so there is a bound on them.
func TestManyHangingCalls(t *testing.T) {
	known := &caller{answered: true}
	hanging.Store(hangingOfLate)
	defer hanging.Store(0)
	assert.ErrorIs(t, new(caller).do(func() {}), ErrNoAnswer)
	assert.NoError(t, known.do(func() {}))
	hanging.Store(mostHanging)
	assert.ErrorIs(t, known.do(func() {}), ErrNoAnswer)
}

func BenchmarkRead(b *testing.B) {
	p, err := Open(os.Getpid())
	require.NoError(b, err)
	there := make([]byte, 64)
	good := uint64(uintptr(unsafe.Pointer(&there[0])))
	to := make([]byte, 64)
	for name, m := range map[string]Memory{"deadline": p.Memory(), "none": &vm{p, nil}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := m.Read(good, to); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A panic in a call is its caller's, who can recover from it.
func TestCallPanicsAsItsCallerCanSee(t *testing.T) {
	c := new(caller)
	assert.Panics(t, func() { _ = c.do(func() { panic("fallen over") }) })
	assert.NoError(t, c.do(func() {}), "the next call is made")
}
