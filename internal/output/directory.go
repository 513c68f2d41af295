// SPDX-License-Identifier: Apache-2.0

package output

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is how many symbolic links on the way to an output are followed.
const maxLinks = 40

// directory is an open directory: nobody can put another in its place meanwhile. None of its methods follows a symbolic link.
type directory struct{ fd int }

// openDirectory opens a directory. A symbolic link of another user on the way is refused.
func openDirectory(path string) (*directory, error) {
	fd, err := openPath(unix.AT_FDCWD, firstOf(path))
	if err != nil {
		return nil, err
	}
	d := &directory{fd}
	names := strings.Split(path, "/")
	for links := 0; len(names) > 0; {
		name := names[0]
		if names = names[1:]; name == "" || name == "." {
			continue
		}
		next, target, err := d.step(name)
		if err == nil && target != "" {
			if links++; links > maxLinks {
				err = unix.ELOOP
			} else if names = append(strings.Split(target, "/"), names...); target[0] == '/' {
				next, err = openPath(unix.AT_FDCWD, "/")
			} else {
				continue
			}
		}
		d.close()
		if err != nil {
			return nil, err
		}
		d = &directory{next}
	}
	return d, nil
}

// firstOf returns where a path begins.
func firstOf(path string) string {
	if strings.HasPrefix(path, "/") {
		return "/"
	}
	return "."
}

// step opens a directory in d, or returns where the symbolic link leads that it is.
func (d *directory) step(name string) (fd int, target string, err error) {
	st, err := d.stat(name)
	if err != nil {
		return -1, "", err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		if !ours(&st) {
			return -1, "", &foreignError{name + " is a symbolic link", st.Uid}
		}
		if !d.onProc() || name == "self" || name == "thread-self" {
			target, err = d.readlink(name)
			return -1, target, err
		}
		// What /proc/self/cwd leads to has no path, but is open: it is followed by the kernel.
		fd, err = unix.Openat(d.fd, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return fd, "", err
	}
	fd, err = openPath(d.fd, name)
	return fd, "", err
}

func openPath(at int, name string) (int, error) {
	return unix.Openat(at, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}

func (d *directory) close() { _ = unix.Close(d.fd) }

// open opens a file. It never waits for the reader of a FIFO: where there is none, the error is ENXIO.
func (d *directory) open(name string, flags int, mode fs.FileMode) (*os.File, error) {
	for {
		fd, err := unix.Openat(d.fd, name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, uint32(mode.Perm()))
		if err == nil {
			return os.NewFile(uintptr(fd), name), nil
		}
		if err != unix.EINTR {
			return nil, err
		}
	}
}

func (d *directory) stat(name string) (st unix.Stat_t, err error) {
	err = unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st, err
}

func (d *directory) readlink(name string) (string, error) {
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(d.fd, name, b)
	if err == nil && n == 0 {
		err = unix.ENOENT
	}
	return string(b[:max(n, 0)]), err
}

func (d *directory) rename(from, to string) error { return unix.Renameat(d.fd, from, d.fd, to) }

func (d *directory) remove(name string) error { return unix.Unlinkat(d.fd, name, 0) }

// onProc reports whether d is on procfs, whose links lead to open files.
func (d *directory) onProc() bool {
	var st unix.Statfs_t
	return unix.Fstatfs(d.fd, &st) == nil && st.Type == unix.PROC_SUPER_MAGIC
}

// is reports whether d is the directory of that path.
func (d *directory) is(path string) bool {
	var mine, theirs unix.Stat_t
	return unix.Fstat(d.fd, &mine) == nil && unix.Stat(path, &theirs) == nil && mine.Dev == theirs.Dev && mine.Ino == theirs.Ino
}

// othersMayLink reports whether another user may give a file of ours a name in d.
func (d *directory) othersMayLink() bool {
	var st unix.Stat_t
	return unix.Fstat(d.fd, &st) != nil || !ours(&st) || st.Mode&0o022 != 0
}

// ours reports whether a file is root's or that of the user loopwatch runs as.
func ours(st *unix.Stat_t) bool { return st.Uid == 0 || int(st.Uid) == os.Geteuid() }

// foreignError says that another user had a hand in what an output's name leads to.
type foreignError struct {
	what string
	uid  uint32
}

func (e *foreignError) Error() string { return fmt.Sprintf("%s of another user (%d)", e.what, e.uid) }

// errLinked says that a file has names that another user may have given it.
var errLinked = errors.New("it has other names (hard links), which another user may have made")

// checkFile refuses to write to the regular file of another user as root, who can do so where nobody else can: that user could
// read and change what is written. With linked it also refuses a file that another user may have linked to d.
func (d *directory) checkFile(st *unix.Stat_t, linked bool) error {
	if os.Geteuid() != 0 {
		return nil
	}
	if !ours(st) {
		return &foreignError{"it is a file", st.Uid}
	}
	if linked && st.Nlink > 1 && d.othersMayLink() {
		return errLinked
	}
	return nil
}
