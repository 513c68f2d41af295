// SPDX-License-Identifier: Apache-2.0

package probes

// waits are the syscalls a loop rests in.
var waits = []string{"epoll_wait", "epoll_pwait", "epoll_pwait2"}
