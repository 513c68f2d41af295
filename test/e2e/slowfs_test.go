// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	wire "encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// slowFS is a file system (FUSE) that has every file asked for and takes its time over one
// operation on each: the one its name begins with. All of them hold the same script.
type slowFS struct {
	dev   int
	delay time.Duration
	names []string // by node - 2
}

// Operations and lengths of the kernel's protocol (linux/fuse.h).
const (
	fuseLookup, fuseForget, fuseGetattr, fuseSetattr, fuseMkdir = 1, 2, 3, 4, 9
	fuseUnlink, fuseRename, fuseOpen, fuseRead, fuseStatfs      = 10, 12, 14, 15, 17
	fuseRelease, fuseFsync, fuseFlush, fuseInit, fuseOpendir    = 18, 20, 25, 26, 27
	fuseReaddir, fuseReleasedir, fuseAccess, fuseInterrupt      = 28, 29, 34, 36
	fuseDestroy, fuseBatchForget, fuseRename2                   = 38, 42, 45
	fuseHeader, fuseMaxWrite, fuseRoot                          = 40, 1 << 17, 1
	slowFileSize                                                = 65536
)

var fuseOperations = map[uint32]string{
	fuseLookup: "lookup", fuseGetattr: "getattr", fuseMkdir: "mkdir", fuseUnlink: "unlink", fuseRename: "rename", fuseRename2: "rename",
	fuseOpen: "open", fuseRead: "read", fuseFsync: "fsync", fuseFlush: "flush", fuseReaddir: "readdir",
}

// mountSlowFS mounts one until the test ends.
func mountSlowFS(t testing.TB, delay time.Duration) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "loopwatch-slow-")
	require.NoError(t, err)
	dev, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	require.NoError(t, unix.Mount("loopwatch-test", dir, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", dev)))
	fs := &slowFS{dev: dev, delay: delay}
	served := make(chan struct{})
	go func() {
		defer close(served)
		fs.serve()
	}()
	t.Cleanup(func() {
		_ = unix.Unmount(dir, unix.MNT_DETACH)
		_ = unix.Close(dev) // ends what namespaces of programs still hold
		_ = os.Remove(dir)
	})
	return dir
}

// serve answers one request after the other: only one program uses the file system at a time.
func (fs *slowFS) serve() {
	buffer := make([]byte, fuseMaxWrite+4096)
	for {
		n, err := unix.Read(fs.dev, buffer)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOENT):
			continue
		case err != nil || n < fuseHeader:
			return
		}
		fs.answer(buffer[:n])
	}
}

func (fs *slowFS) answer(request []byte) {
	operation := wire.NativeEndian.Uint32(request[4:])
	node := wire.NativeEndian.Uint64(request[16:])
	body := request[fuseHeader:]
	var out []byte
	errno := unix.Errno(0)
	name := fs.name(node)
	put := func(values ...uint64) {
		for _, v := range values {
			out = wire.NativeEndian.AppendUint64(out, v)
		}
	}
	switch operation {
	case fuseForget, fuseBatchForget, fuseInterrupt:
		return
	case fuseInit:
		out = make([]byte, 64)
		wire.NativeEndian.PutUint32(out, 7)
		wire.NativeEndian.PutUint32(out[4:], 31)
		wire.NativeEndian.PutUint32(out[12:], 1) // FUSE_ASYNC_READ: faults wait for the page, as on a disk
		wire.NativeEndian.PutUint32(out[20:], fuseMaxWrite)
	case fuseLookup, fuseMkdir:
		if operation == fuseMkdir {
			body = body[8:]
		}
		name = string(body[:max(0, bytes.IndexByte(body, 0))])
		if strings.HasPrefix(name, "mkdir") && operation == fuseLookup || name == "other" {
			errno = unix.ENOENT
			break
		}
		node = fs.node(name)
		put(node, 0, 0, 0, 0)
		out = append(out, fs.attributes(node)...)
	case fuseGetattr, fuseSetattr:
		put(0, 0)
		out = append(out, fs.attributes(node)...)
	case fuseOpen, fuseOpendir:
		put(0, 0)
	case fuseRead:
		at, size := wire.NativeEndian.Uint64(body[8:]), uint64(wire.NativeEndian.Uint32(body[16:]))
		content := []byte("#!/bin/true\n" + strings.Repeat("\n", slowFileSize))[:slowFileSize]
		out = content[min(at, slowFileSize):min(at+size, slowFileSize)]
	case fuseUnlink, fuseRename, fuseRename2:
		if operation != fuseUnlink {
			body = body[map[uint32]int{fuseRename: 8, fuseRename2: 16}[operation]:]
		}
		name = string(body[:max(0, bytes.IndexByte(body, 0))])
	case fuseFsync, fuseFlush, fuseRelease, fuseReleasedir, fuseReaddir, fuseAccess, fuseDestroy:
	case fuseStatfs:
		out = make([]byte, 80)
	default:
		errno = unix.ENOSYS
	}
	if what := fuseOperations[operation]; what != "" && strings.HasPrefix(name, what) {
		time.Sleep(fs.delay)
	}
	reply := wire.NativeEndian.AppendUint32(nil, uint32(16+len(out)))
	reply = wire.NativeEndian.AppendUint32(reply, uint32(-int32(errno)))
	reply = append(append(reply, request[8:16]...), out...)
	_, _ = unix.Write(fs.dev, reply)
}

func (fs *slowFS) name(node uint64) string {
	if node < 2 || node-2 >= uint64(len(fs.names)) {
		return ""
	}
	return fs.names[node-2]
}

func (fs *slowFS) node(name string) uint64 {
	for i, known := range fs.names {
		if known == name {
			return uint64(i) + 2
		}
	}
	fs.names = append(fs.names, name)
	return uint64(len(fs.names)) + 1
}

// attributes are a struct fuse_attr. They are good for no time at all, so each look asks again.
func (fs *slowFS) attributes(node uint64) []byte {
	mode := uint32(unix.S_IFREG | 0o755)
	if name := fs.name(node); node == fuseRoot || strings.HasPrefix(name, "readdir") || strings.HasPrefix(name, "mkdir") {
		mode = unix.S_IFDIR | 0o755
	}
	out := make([]byte, 88)
	wire.NativeEndian.PutUint64(out, node)
	wire.NativeEndian.PutUint64(out[8:], slowFileSize)
	wire.NativeEndian.PutUint32(out[60:], mode)
	wire.NativeEndian.PutUint32(out[64:], 1)
	wire.NativeEndian.PutUint32(out[80:], 4096)
	return out
}
