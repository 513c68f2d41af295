// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/syscalls"
)

// File systems without a path (include/uapi/linux/magic.h).
const (
	anonInodeFS = 0x09041934
	pipeFS      = 0x50495045
)

// maxPath bounds a path that is an argument, in bytes.
const maxPath = 4096

// describe finds out what the threads that sleep wait for: which rest, and what the syscalls of the others work on.
func (t *taking) describe() error {
	ask := map[int][]int{}
	for _, p := range t.procs {
		for _, th := range p.threads {
			p.judge(th)
			if th.verdict.idle || th.doing.Running || th.torn {
				continue
			}
			if p.wants(th); len(th.fds) > 0 {
				ask[th.doing.TID] = th.fds
			}
		}
	}
	if err := t.name(ask); err != nil {
		return err
	}
	t.sampleRunning()
	return t.watch()
}

// name finds out what the descriptors are that threads wait for, by thread id.
func (t *taking) name(ask map[int][]int) error {
	if len(ask) == 0 {
		return nil
	}
	sockets, err := t.census.Sockets(ask)
	if err != nil {
		return err
	}
	now, err := t.census.Threads()
	if err != nil {
		return err
	}
	for _, p := range t.procs {
		for _, th := range p.threads {
			if len(th.fds) == 0 {
				continue
			}
			if p.choose(th, sockets[th.doing.TID]); !th.doing.Still(now[th.doing.TID]) {
				th.target = probes.Target{FD: -1}
				t.lose(reasonTargets, 1)
			}
		}
	}
	return nil
}

// wants reads from the arguments of a thread's syscall what it works on. What are descriptors is left in fds.
func (p *proc) wants(t *thread) {
	a := t.doing.Args
	t.target = probes.Target{FD: -1}
	fd := func(args ...uint64) {
		for _, arg := range args {
			if n := int32(arg); n >= 0 {
				t.fds = append(t.fds, int(n))
			}
		}
	}
	switch syscalls.Lookup(t.doing.Syscall).Object {
	case syscalls.FD, syscalls.Connect, syscalls.SendTo, syscalls.SendMsg:
		fd(a[0])
	case syscalls.FD4:
		fd(a[4])
	case syscalls.SendFile:
		fd(a[0], a[1])
	case syscalls.Splice:
		fd(a[0], a[2])
	case syscalls.Path:
		p.path(t, unix.AT_FDCWD, a[0])
	case syscalls.Path1:
		p.path(t, unix.AT_FDCWD, a[1])
	case syscalls.PathAt:
		p.path(t, int(int32(a[0])), a[1])
	case syscalls.PathAt1:
		p.path(t, int(int32(a[1])), a[2])
	case syscalls.Poll:
		t.fds = p.polled(a[0], a[1])
	case syscalls.Select:
		t.fds = p.selected(a[0], a[1:4])
	case syscalls.Epoll:
		// One that watches few is told by those, one that watches more stands for itself.
		const few = 3
		fd(a[0])
		if in := p.process.DescriptorInfo(int(int32(a[0])), "tfd", few+1); len(in) > 0 && len(in) <= few {
			t.fds = in
		}
	case syscalls.Wait:
		p.child(t, int(int32(a[0])))
	case syscalls.WaitID:
		switch a[0] {
		case unix.P_PID:
			p.child(t, int(int32(a[1])))
		case unix.P_PIDFD:
			fd(a[1])
		default:
			p.child(t, 0)
		}
	}
}

// polled reads the descriptors of an array of struct pollfd.
func (p *proc) polled(at, n uint64) (fds []int) {
	const size = 8 // int fd; short events, revents
	b := make([]byte, size*min(n, uint64(probes.CensusFDs)))
	if p.memory.Read(at, b) != nil {
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
func (p *proc) selected(n uint64, sets []uint64) (fds []int) {
	const words = 16 // 1,024 descriptors
	n = min(n, 64*words)
	var all [words]uint64
	for _, at := range sets {
		b := make([]byte, (n+63)/64*8)
		if at == 0 || p.memory.Read(at, b) != nil {
			continue
		}
		for i := range len(b) / 8 {
			all[i] |= binary.NativeEndian.Uint64(b[8*i:])
		}
	}
	for i, word := range all {
		for ; word != 0 && len(fds) < probes.CensusFDs; word &= word - 1 {
			fds = append(fds, 64*i+bits.TrailingZeros64(word))
		}
	}
	return fds
}

// path reads a path that is an argument. It is text: nothing is opened by it.
func (p *proc) path(t *thread, dir int, at uint64) {
	text, ok := p.cString(at)
	if !ok {
		return
	}
	if text == "" {
		if dir >= 0 {
			t.fds = append(t.fds, dir)
		}
		return
	}
	if text[0] != '/' {
		base := p.process.Link("cwd")
		if dir >= 0 {
			base = p.process.Link("fd/" + strconv.Itoa(dir))
		}
		if base == "" {
			base = "…"
		}
		text = strings.TrimSuffix(base, "/") + "/" + text
	}
	t.target.Kind, t.target.Path = probes.PathTarget, text
}

func (p *proc) cString(at uint64) (string, bool) {
	var out []byte
	for at != 0 && len(out) < maxPath {
		b := make([]byte, 256-at%256) // never over the end of a page
		if p.memory.Read(at, b) != nil {
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
func (p *proc) child(t *thread, inner int) {
	t.target.Kind = probes.ChildTarget
	if inner <= 0 {
		return
	}
	if own, err := p.process.InnerTID(p.process.PID); err == nil && own == p.process.PID {
		t.target.Child = inner
		return
	}
	t.target.Kind = probes.NoTarget // one of another namespace is not to be mistaken for one of ours
}

// ranks of the kinds of files, as to which of several a thread is likeliest to wait for: those of bpf/target.h.
const (
	rankAnonymous = iota + 1
	rankFile
	rankChild
	rankSocket
	rankInet
)

// choose takes of the descriptors a syscall works on the one that counts: the first of the highest rank.
func (p *proc) choose(t *thread, sockets []probes.Target) {
	best, others := 0, 0
	for _, fd := range t.fds {
		target, rank := p.file(fd, sockets)
		switch {
		case rank > best:
			t.target, best, others = target, rank, 0
		case rank == best:
			others++
		}
	}
	switch syscalls.Lookup(t.doing.Syscall).Object {
	case syscalls.Poll, syscalls.Select, syscalls.Epoll:
		t.target.Others = others
	}
}

// file describes one descriptor: a socket as the kernel did, anything else by its link.
func (p *proc) file(fd int, sockets []probes.Target) (probes.Target, int) {
	if i := slices.IndexFunc(sockets, func(s probes.Target) bool { return s.FD == fd }); i >= 0 {
		if sockets[i].Kind == probes.InetTarget {
			return sockets[i], rankInet
		}
		return sockets[i], rankSocket
	}
	target := probes.Target{FD: fd}
	var path string
	target.Mode, target.Device, path = p.process.Descriptor(fd)
	if path == "" {
		return target, 0
	}
	if pid := p.process.DescriptorInfo(fd, "Pid", 1); len(pid) > 0 {
		target.Kind, target.Child = probes.ChildTarget, max(pid[0], 0)
		return target, rankChild
	}
	switch name, anonymous := strings.CutPrefix(path, "anon_inode:"); {
	case anonymous:
		target.Kind, target.Path, target.Magic = probes.FileTarget, name, anonInodeFS
		return target, rankAnonymous
	case strings.HasPrefix(path, "pipe:["):
		target.Kind, target.Magic = probes.FileTarget, pipeFS
	case strings.HasPrefix(path, "/"):
		target.Kind = probes.FileTarget
		target.Path, target.Deleted = strings.CutSuffix(path, " (deleted)")
	}
	return target, rankFile
}
