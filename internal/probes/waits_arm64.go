// SPDX-License-Identifier: Apache-2.0

package probes

// waits are the syscalls a loop rests in. This architecture never had epoll_wait.
var waits = []string{"epoll_pwait", "epoll_pwait2"}
