// SPDX-License-Identifier: Apache-2.0

package correlator

import "golang.org/x/sys/unix"

func init() {
	syscalls[unix.SYS_FSTATAT] = syscallInfo{"newfstatat", familyFile, false}
}
