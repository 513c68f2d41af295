// SPDX-License-Identifier: Apache-2.0

// Package target finds out, from outside, what the syscall that a thread sleeps in works on. In go a
// process, its memory, and the call with its arguments; out comes a syscalls.Target such as the kernel
// side makes of a call it sees begin. Nothing is opened, and what is read is bounded. The answer is as
// good as the thread is still meanwhile.
package target

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/abi"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/syscalls"
)

// MaxFDs bounds the descriptors looked at of one call.
const MaxFDs = abi.ListedFds

// maxPath bounds a path that is an argument, in bytes.
const maxPath = 4096

// Call is the syscall that a thread of a process sleeps in.
type Call struct {
	Process *process.Process
	Memory  process.Memory
	Number  int
	Args    [5]uint64
}

// Object is what the arguments of a call name.
type Object struct {
	Target syscalls.Target // a path or a child; FD is -1
	FDs    []int           // or descriptors, of which one counts: see Call.Choose
}

// Object reads what the arguments name.
func (c Call) Object() Object {
	a := c.Args
	o := Object{Target: syscalls.Target{FD: -1}}
	fd := func(args ...uint64) {
		for _, arg := range args {
			if n := int32(arg); n >= 0 {
				o.FDs = append(o.FDs, int(n))
			}
		}
	}
	switch syscalls.Lookup(c.Number).Object {
	case syscalls.FD, syscalls.Connect, syscalls.SendTo, syscalls.SendMsg:
		fd(a[0])
	case syscalls.FD4:
		fd(a[4])
	case syscalls.SendFile:
		fd(a[0], a[1])
	case syscalls.Splice:
		fd(a[0], a[2])
	case syscalls.Path:
		c.path(&o, unix.AT_FDCWD, a[0])
	case syscalls.Path1:
		c.path(&o, unix.AT_FDCWD, a[1])
	case syscalls.PathAt:
		c.path(&o, int(int32(a[0])), a[1])
	case syscalls.PathAt1:
		c.path(&o, int(int32(a[1])), a[2])
	case syscalls.Poll:
		o.FDs = c.polled(a[0], a[1])
	case syscalls.Select:
		o.FDs = c.selected(a[0], a[1:4])
	case syscalls.Epoll:
		// One that watches few is told by those, one that watches more stands for itself.
		fd(a[0])
		if in := c.Process.DescriptorInfo(int(int32(a[0])), "tfd", abi.EpollMax+1); len(in) > 0 && len(in) <= abi.EpollMax {
			o.FDs = in
		}
	case syscalls.Wait:
		c.child(&o, int(int32(a[0])))
	case syscalls.WaitID:
		switch a[0] {
		case unix.P_PID:
			c.child(&o, int(int32(a[1])))
		case unix.P_PIDFD:
			fd(a[1])
		default:
			c.child(&o, 0)
		}
	}
	return o
}

// polled reads the descriptors of an array of struct pollfd.
func (c Call) polled(at, n uint64) (fds []int) {
	const size = 8 // int fd; short events, revents
	b := make([]byte, size*min(n, uint64(MaxFDs)))
	if c.Memory.Read(at, b) != nil {
		return nil
	}
	for ; len(b) >= size; b = b[size:] {
		if fd := int32(binary.NativeEndian.Uint32(b)); fd >= 0 {
			fds = append(fds, int(fd))
		}
	}
	return fds
}

// selected reads the descriptors of three fd_sets, of which the first n bits count.
func (c Call) selected(n uint64, sets []uint64) (fds []int) {
	const words = 16 // 1,024 descriptors
	n = min(n, 64*words)
	var all [words]uint64
	for _, at := range sets {
		b := make([]byte, (n+63)/64*8)
		if at == 0 || c.Memory.Read(at, b) != nil {
			continue
		}
		for i := range len(b) / 8 {
			all[i] |= binary.NativeEndian.Uint64(b[8*i:])
		}
	}
	for i, word := range all {
		for ; word != 0 && len(fds) < MaxFDs; word &= word - 1 {
			fds = append(fds, 64*i+bits.TrailingZeros64(word))
		}
	}
	return fds
}

// path reads a path that is an argument. It is text: nothing is opened by it.
func (c Call) path(o *Object, dir int, at uint64) {
	text, ok := c.cString(at)
	if !ok {
		return
	}
	if text == "" {
		if dir >= 0 {
			o.FDs = append(o.FDs, dir)
		}
		return
	}
	if text[0] != '/' {
		base := c.Process.Link("cwd")
		if dir >= 0 {
			base = c.Process.Link("fd/" + strconv.Itoa(dir))
		}
		if base == "" {
			base = "…"
		}
		text = strings.TrimSuffix(base, "/") + "/" + text
	}
	o.Target.Kind, o.Target.Path = syscalls.PathTarget, text
}

func (c Call) cString(at uint64) (string, bool) {
	var out []byte
	for at != 0 && len(out) < maxPath {
		b := make([]byte, 256-at%256) // never over the end of a page
		if c.Memory.Read(at, b) != nil {
			return "", false
		}
		if end := bytes.IndexByte(b, 0); end >= 0 {
			return string(append(out, b[:end]...)), true
		}
		out = append(out, b...)
		at += uint64(len(b))
	}
	return string(out), at != 0
}

// child finds the process that a parent knows by a number of its own PID namespace; 0 or less is any.
func (c Call) child(o *Object, inner int) {
	o.Target.Kind = syscalls.ChildTarget
	if inner <= 0 {
		return
	}
	if own, err := c.Process.InnerTID(c.Process.PID); err == nil && own == c.Process.PID {
		o.Target.Child = inner
		return
	}
	o.Target.Kind = syscalls.NoTarget // one of another namespace is not to be mistaken for one of ours
}

// Choose returns what the call works on: of several descriptors the first of the highest rank. sockets
// are those of them that the kernel has described; it may be nil, and their peers are not known then.
func (c Call) Choose(o Object, sockets []syscalls.Target) syscalls.Target {
	out, best, others := o.Target, abi.RankNone, 0
	for _, fd := range o.FDs {
		target, rank := c.file(fd, sockets)
		switch {
		case rank > best:
			out, best, others = target, rank, 0
		case rank == best && rank != abi.RankNone:
			others++
		}
	}
	if syscalls.Lookup(c.Number).Waiting() {
		out.Others = others
	}
	return out
}

// file describes one descriptor: a socket as the kernel did, anything else by its link.
func (c Call) file(fd int, sockets []syscalls.Target) (syscalls.Target, int) {
	if i := slices.IndexFunc(sockets, func(s syscalls.Target) bool { return s.FD == fd }); i >= 0 {
		if sockets[i].Kind == syscalls.InetTarget {
			return sockets[i], abi.RankInet
		}
		return sockets[i], abi.RankSocket
	}
	target := syscalls.Target{FD: fd}
	var path string
	target.Mode, target.Device, path = c.Process.Descriptor(fd)
	switch {
	case path == "":
		return target, abi.RankNone
	case target.Mode&unix.S_IFMT == unix.S_IFSOCK:
		return target, abi.RankSocket
	}
	if pid := c.Process.DescriptorInfo(fd, "Pid", 1); len(pid) > 0 {
		target.Kind, target.Child = syscalls.ChildTarget, max(pid[0], 0)
		return target, abi.RankChild
	}
	switch name, anonymous := strings.CutPrefix(path, "anon_inode:"); {
	case anonymous:
		target.Kind, target.Path, target.Magic = syscalls.FileTarget, name, syscalls.AnonInodeFS
		return target, abi.RankAnonymous
	case strings.HasPrefix(path, "pipe:["):
		target.Kind, target.Magic = syscalls.FileTarget, syscalls.PipeFS
	case strings.HasPrefix(path, "/"):
		target.Kind = syscalls.FileTarget
		target.Path, target.Deleted = strings.CutSuffix(path, " (deleted)")
	}
	return target, abi.RankFile
}
