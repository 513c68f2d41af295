// SPDX-License-Identifier: Apache-2.0

package process

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// maxEpolls bounds the descriptors that OwnEpolls looks at.
const maxEpolls = 4096

// kcmpFile asks kcmp(2) whether two descriptors are one open file: KCMP_FILE.
const kcmpFile = 0

// OwnEpolls reports whether a process has epoll objects, and shares none of them with its parent. One that was
// forked inside a loop has its parent's, under the same descriptor, whatever it made since. Where this cannot
// be told, the answer is true.
func (p *Process) OwnEpolls(parent int) bool {
	fds, err := numbers(p.path("fd"))
	if err != nil || len(fds) > maxEpolls {
		return true
	}
	some := false
	for _, fd := range fds {
		if p.Link("fd/"+strconv.Itoa(fd)) != "anon_inode:[eventpoll]" {
			continue
		}
		some = true
		differ, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(p.livingThread()), uintptr(parent), kcmpFile, uintptr(fd), uintptr(fd), 0)
		if errno == 0 && differ == 0 {
			return false
		}
	}
	return some
}
