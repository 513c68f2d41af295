// SPDX-License-Identifier: Apache-2.0

package probes

var waits = []wait{
	{"epoll_wait", loopwatchProgEnterEpollWait, loopwatchProgExitEpollWait},
	{"epoll_pwait", loopwatchProgEnterEpollPwait, loopwatchProgExitEpollPwait},
	{"epoll_pwait2", loopwatchProgEnterEpollPwait2, loopwatchProgExitEpollPwait2},
}
