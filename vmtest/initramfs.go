// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"fmt"
	"io"
	"path"
	"strings"
)

// initramfs writes an archive the kernel unpacks as its first root: cpio in "new ASCII" form
// (Documentation/driver-api/early-userspace/buffer-format.rst of the kernel).
type initramfs struct {
	w    io.Writer
	made map[string]bool
	ino  int
	err  error
}

func newInitramfs(w io.Writer) *initramfs {
	return &initramfs{w: w, made: map[string]bool{".": true, "/": true}}
}

const (
	modeDir  = 0o040000
	modeFile = 0o100000
)

// file adds a file, and the directories it lies in.
func (a *initramfs) file(name string, perm uint32, content []byte) {
	name = strings.TrimPrefix(path.Clean(name), "/")
	a.dir(path.Dir(name))
	a.entry(name, modeFile|perm, content)
}

func (a *initramfs) dir(name string) {
	name = strings.TrimPrefix(path.Clean(name), "/")
	if name == "" || a.made[name] {
		return
	}
	a.dir(path.Dir(name))
	a.made[name] = true
	a.entry(name, modeDir|0o755, nil)
}

func (a *initramfs) entry(name string, mode uint32, content []byte) {
	a.ino++
	head := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		a.ino, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0, name)
	a.write([]byte(head))
	a.write(content)
}

// write pads to four bytes, as both the head and the content of an entry are.
func (a *initramfs) write(p []byte) {
	if a.err != nil {
		return
	}
	if _, a.err = a.w.Write(p); a.err == nil {
		_, a.err = a.w.Write(make([]byte, -len(p)&3))
	}
}

// close ends the archive and returns the first error there was.
func (a *initramfs) close() error {
	a.entry("TRAILER!!!", 0, nil)
	return a.err
}
