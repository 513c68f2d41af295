// SPDX-License-Identifier: Apache-2.0

package syscalls

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"
)

// A misspelt name would be known to no architecture.
func TestKnownCallsExist(t *testing.T) {
	elsewhere := map[string]bool{} // what this architecture has not, or no longer
	for name, call := range known {
		found := false
		for _, n := range names {
			found = found || n == name
		}
		if !found {
			elsewhere[name] = true
		}
		assert.LessOrEqual(t, call.Object, Fork, name)
	}
	assert.Less(t, len(elsewhere), len(known)/3, "%v", elsewhere)
}

func TestLookup(t *testing.T) {
	assert.Equal(t, Call{"openat", PathAt, File}, Lookup(unix.SYS_OPENAT))
	assert.Equal(t, Call{"pselect6", Select, Readiness}, Lookup(unix.SYS_PSELECT6))
	assert.Equal(t, Call{Name: "getpid"}, Lookup(unix.SYS_GETPID))
	assert.Equal(t, "syscall 9999", Lookup(9999).Name)
	assert.True(t, Lookup(unix.SYS_READ).HasFD())
	assert.False(t, Lookup(unix.SYS_WAIT4).HasFD())
}

func TestObjects(t *testing.T) {
	objects := Objects(512)
	assert.Len(t, objects, 512)
	assert.EqualValues(t, SendTo, objects[unix.SYS_SENDTO])
	assert.EqualValues(t, NoObject, objects[unix.SYS_FUTEX])
	assert.Len(t, Objects(3), 3)
}

func TestWaiting(t *testing.T) {
	numbers := Waiting()
	assert.Subset(t, numbers, []int{unix.SYS_EPOLL_PWAIT, unix.SYS_PPOLL, unix.SYS_PSELECT6})
	assert.NotContains(t, numbers, unix.SYS_EPOLL_CTL)
	assert.NotContains(t, numbers, unix.SYS_READ)
}

func TestMayRest(t *testing.T) {
	for nr, want := range map[int]bool{
		unix.SYS_EPOLL_PWAIT: true, unix.SYS_PPOLL: true, unix.SYS_PSELECT6: true, unix.SYS_CLOCK_NANOSLEEP: true,
		unix.SYS_FUTEX: false, unix.SYS_READ: false, -1: false,
	} {
		assert.Equal(t, want, Lookup(nr).MayRest(), Lookup(nr).Name)
	}
}
