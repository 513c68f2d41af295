// SPDX-License-Identifier: Apache-2.0

// Package hungfs serves a directory by FUSE until it is told to hang: from then on it takes requests and answers none, as a
// network file system whose server is gone. In go a directory and an empty one to mount it on.
//
// The process that serves it may not start a program that lies on it, or is to run in it: until exec is done, which needs an answer, Go's runtime
// cannot stop that thread, and where it wants to collect garbage the threads that would answer have stopped. Through has another
// process do it.
package hungfs

import (
	"cmp"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// FS is a mounted file system.
type FS struct {
	fuse.RawFileSystem
	server *fuse.Server
	mu     sync.Mutex
	answer chan struct{} // closed while requests are answered
}

// Mount mounts a copy of directory at mountpoint, until Unmount.
func Mount(directory, mountpoint string) (*FS, error) {
	root, err := fs.NewLoopbackRoot(directory)
	if err != nil {
		return nil, err
	}
	f := &FS{RawFileSystem: fs.NewNodeFS(root, &fs.Options{}), answer: make(chan struct{})}
	close(f.answer)
	f.server, err = fuse.NewServer(f, mountpoint, &fuse.MountOptions{DirectMountStrict: true, AllowOther: true, FsName: "hungfs"})
	if err != nil {
		return nil, err
	}
	go f.server.Serve()
	if err := errors.Join(f.server.WaitMount(), keepToItself()); err != nil {
		return nil, errors.Join(err, f.Unmount())
	}
	return f, nil
}

// Unmount answers all requests and takes the file system away. Nobody may use it any more.
func (f *FS) Unmount() error {
	f.Answer()
	return f.server.Unmount()
}

// keepToItself sees to it that programs that are started do not inherit the connection to the kernel: it ends with this process.
func keepToItself() error {
	const fds = "/proc/self/fd"
	all, err := os.ReadDir(fds)
	if err != nil {
		return err
	}
	for _, entry := range all {
		to, err := os.Readlink(filepath.Join(fds, entry.Name()))
		fd, notNumber := strconv.Atoi(entry.Name())
		if err == nil && notNumber == nil && to == "/dev/fuse" {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// Through changes a command so that a shell goes to its directory, starts the program, and becomes it: the process id is the
// program's.
func Through(cmd *exec.Cmd) {
	cmd.Args = append([]string{"sh", "-c", `cd "$0" && exec "$@"`, cmp.Or(cmd.Dir, "."), cmd.Path}, cmd.Args[1:]...)
	cmd.Path, cmd.Dir = "/bin/sh", ""
}

// Hang has all requests from now on wait.
func (f *FS) Hang() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = make(chan struct{})
}

// Answer has all requests answered, those that wait, too.
func (f *FS) Answer() {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.answer:
	default:
		close(f.answer)
	}
}

// wait waits until requests are answered, though the kernel may ask to give one up: a daemon need not listen.
func (f *FS) wait() {
	f.mu.Lock()
	answer := f.answer
	f.mu.Unlock()
	<-answer
}

// Lookup looks up a name.
func (f *FS) Lookup(cancel <-chan struct{}, header *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	f.wait()
	return f.RawFileSystem.Lookup(cancel, header, name, out)
}

// GetAttr returns what stat says.
func (f *FS) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	f.wait()
	return f.RawFileSystem.GetAttr(cancel, in, out)
}

// Open opens a file.
func (f *FS) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	f.wait()
	return f.RawFileSystem.Open(cancel, in, out)
}

// Read reads a file.
func (f *FS) Read(cancel <-chan struct{}, in *fuse.ReadIn, b []byte) (fuse.ReadResult, fuse.Status) {
	f.wait()
	return f.RawFileSystem.Read(cancel, in, b)
}

// Flush is a part of closing a file.
func (f *FS) Flush(cancel <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	f.wait()
	return f.RawFileSystem.Flush(cancel, in)
}

// Access asks for permissions.
func (f *FS) Access(cancel <-chan struct{}, in *fuse.AccessIn) fuse.Status {
	f.wait()
	return f.RawFileSystem.Access(cancel, in)
}

// OpenDir opens a directory.
func (f *FS) OpenDir(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	f.wait()
	return f.RawFileSystem.OpenDir(cancel, in, out)
}

// StatFs returns what statfs says.
func (f *FS) StatFs(cancel <-chan struct{}, header *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	f.wait()
	return f.RawFileSystem.StatFs(cancel, header, out)
}
