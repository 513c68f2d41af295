// SPDX-License-Identifier: Apache-2.0

// Package syscalls is what is known of each system call beforehand: its name, where among its
// arguments it says what it works on, and what a thread that sleeps in it waits for. In goes a call's
// number. Target is the form in which one call's object is told. Names come from the kernel's own
// tables (golang.org/x/sys/unix), one for each architecture.
package syscalls

import (
	"fmt"
	"slices"
	"strings"

	"github.com/loopwatch/loopwatch/internal/abi"
)

//go:generate sh -c "for arch in amd64 arm64; do awk -f names.awk $(go list -m -f {{.Dir}} golang.org/x/sys)/unix/zsysnum_linux_$DOLLAR{arch}.go | gofmt >names_$DOLLAR{arch}.go; done"

// Object says where a call tells what it works on. bpf/abi/target.h describes each.
type Object uint8

const (
	NoObject = Object(abi.ObjectNone)
	FD       = Object(abi.ObjectFd)
	FD4      = Object(abi.ObjectFd4)
	Connect  = Object(abi.ObjectConnect)
	SendTo   = Object(abi.ObjectSendto)
	SendMsg  = Object(abi.ObjectSendmsg)
	SendFile = Object(abi.ObjectSendfile)
	Splice   = Object(abi.ObjectSplice)
	Path     = Object(abi.ObjectPath)
	Path1    = Object(abi.ObjectPath1)
	PathAt   = Object(abi.ObjectPathat)
	PathAt1  = Object(abi.ObjectPathat1)
	Poll     = Object(abi.ObjectPoll)
	Select   = Object(abi.ObjectSelect)
	Epoll    = Object(abi.ObjectEpoll)
	Wait     = Object(abi.ObjectWait)
	WaitID   = Object(abi.ObjectWaitid)
	Fork     = Object(abi.ObjectFork)
)

// Waits is what a thread that sleeps in a call waits for, as far as the call alone says.
type Waits uint8

const (
	Unknown   Waits = iota
	Time            // a time to come
	Network         // a socket
	File            // a file, a directory, or a disk
	Child           // a child process
	Futex           // a lock between threads
	Lock            // a lock between processes
	Queue           // a message queue
	ByObject        // as the object says
	Readiness       // as the object says; a time where there is none
)

// Call is one system call.
type Call struct {
	Name   string
	Object Object
	Waits  Waits
}

// HasFD reports whether the object is, or may be, a descriptor.
func (c Call) HasFD() bool {
	switch c.Object {
	case NoObject, Path, Path1, Wait, Fork:
		return false
	}
	return true
}

// Lookup returns what is known of a call by its number. It always has a name.
func Lookup(nr int) Call {
	if c, ok := calls[nr]; ok {
		return c
	}
	return Call{Name: fmt.Sprintf("syscall %d", nr)}
}

// Objects returns where each call says what it works on, by number, below max.
func Objects(max int) []uint8 {
	out := make([]uint8, max)
	for nr, c := range calls {
		if nr < max {
			out[nr] = uint8(c.Object)
		}
	}
	return out
}

// Waiting returns the numbers of the calls that wait until one of several descriptors is ready: those a loop may rest
// in.
func Waiting() (numbers []int) {
	for nr, c := range calls {
		if c.Waiting() {
			numbers = append(numbers, nr)
		}
	}
	slices.Sort(numbers)
	return numbers
}

// Waiting tells such a call.
func (c Call) Waiting() bool { return c.Object == Epoll || c.Object == Poll || c.Object == Select }

// MayRest reports whether a loop may be at rest in the call: it waits for descriptors or for a time. In the same frame the
// loop may have to wait for the GIL, which is no rest.
func (c Call) MayRest() bool { return c.Waits == Time || c.Waits == Readiness || c.Object == Epoll }

// calls joins the names of this architecture with what is known by name.
var calls = func() map[int]Call {
	out := make(map[int]Call, len(names))
	for nr, name := range names {
		c := known[name]
		c.Name = name
		out[nr] = c
	}
	return out
}()

// known are the calls a thread may sleep in, by name; what an architecture has not is not looked
// up. Of two paths the first is taken: they lie on one file system.
var known = func() map[string]Call {
	out := make(map[string]Call)
	for _, group := range []struct {
		object Object
		waits  Waits
		names  string
	}{
		{NoObject, Time, "nanosleep clock_nanosleep pause rt_sigsuspend rt_sigtimedwait"},
		{Poll, Readiness, "poll ppoll"},
		{Select, Readiness, "select pselect6"},
		{Epoll, ByObject, "epoll_wait epoll_pwait epoll_pwait2"},

		{FD, ByObject, "read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 ioctl close fcntl lseek" +
			" tee vmsplice epoll_ctl io_uring_enter io_uring_register dup dup2 dup3"},
		{SendFile, ByObject, "sendfile"},
		{Splice, ByObject, "splice copy_file_range"},

		{FD, Network, "recvfrom recvmsg recvmmsg accept accept4 shutdown listen bind getsockopt setsockopt getpeername getsockname"},
		{Connect, Network, "connect"},
		{SendTo, Network, "sendto"},
		{SendMsg, Network, "sendmsg sendmmsg"},

		{FD, File, "fsync fdatasync syncfs sync_file_range ftruncate fallocate fadvise64 readahead getdents getdents64 flock fstat fstatfs" +
			" fchmod fchown fchdir fgetxattr fsetxattr flistxattr fremovexattr"},
		{NoObject, File, "sync msync swapon swapoff quotactl io_getevents io_pgetevents io_submit"},
		{FD4, Unknown, "mmap"},
		{Path, File, "open creat stat lstat access unlink rename mkdir rmdir link readlink chmod chown lchown truncate utime utimes statfs" +
			" chdir chroot getxattr lgetxattr setxattr lsetxattr listxattr llistxattr removexattr lremovexattr mknod umount2 acct uselib"},
		{Path1, File, "symlink mount pivot_root"},
		{PathAt, File, "openat openat2 newfstatat statx faccessat faccessat2 unlinkat renameat renameat2 mkdirat linkat readlinkat" +
			" fchmodat fchmodat2 fchownat utimensat futimesat mknodat name_to_handle_at open_tree move_mount getxattrat setxattrat listxattrat removexattrat"},
		{PathAt1, File, "symlinkat"},

		{Wait, Child, "wait4"},
		{WaitID, Child, "waitid"},
		{Fork, Child, "clone clone3 fork vfork"},
		{Path, Child, "execve"},
		{PathAt, Child, "execveat"},
		{FD, Child, "pidfd_send_signal pidfd_getfd"},

		{NoObject, Futex, "futex futex_wait futex_waitv futex_requeue"},
		{NoObject, Lock, "semop semtimedop"},
		{NoObject, Queue, "msgrcv msgsnd"},
		{FD, Queue, "mq_timedsend mq_timedreceive"},
	} {
		for name := range strings.FieldsSeq(group.names) {
			out[name] = Call{Object: group.object, Waits: group.waits}
		}
	}
	return out
}()
