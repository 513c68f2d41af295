// SPDX-License-Identifier: Apache-2.0

package probes

// arm64 has no epoll_wait.
var waits = []wait{
	{"epoll_pwait", loopwatchProgEnterEpollPwait, loopwatchProgExitEpollPwait},
	{"epoll_pwait2", loopwatchProgEnterEpollPwait2, loopwatchProgExitEpollPwait2},
}
