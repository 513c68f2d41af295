// SPDX-License-Identifier: Apache-2.0

package correlator

import "golang.org/x/sys/unix"

// The syscalls that arm64 never had.
func init() {
	for nr, info := range map[int]syscallInfo{
		unix.SYS_POLL:       {"poll", familyPoll, false},
		unix.SYS_SELECT:     {"select", familySelect, false},
		unix.SYS_PAUSE:      {"pause", familySleep, false},
		unix.SYS_EPOLL_WAIT: {"epoll_wait", familyUnknown, true},
		unix.SYS_OPEN:       {"open", familyFile, false},
		unix.SYS_STAT:       {"stat", familyFile, false},
		unix.SYS_LSTAT:      {"lstat", familyFile, false},
		unix.SYS_NEWFSTATAT: {"newfstatat", familyFile, false},
		unix.SYS_ACCESS:     {"access", familyFile, false},
		unix.SYS_UNLINK:     {"unlink", familyFile, false},
		unix.SYS_RENAME:     {"rename", familyFile, false},
		unix.SYS_MKDIR:      {"mkdir", familyFile, false},
		unix.SYS_FORK:       {"fork", familyChild, false},
		unix.SYS_VFORK:      {"vfork", familyChild, false},
	} {
		syscalls[nr] = info
	}
}
