package probes

// arm64 has no epoll_wait.
var waits = []wait{
	{"epoll_pwait", loopwatchProgFentryEpollPwait, loopwatchProgFexitEpollPwait, loopwatchProgEnterEpollPwait, loopwatchProgExitEpollPwait},
	{"epoll_pwait2", loopwatchProgFentryEpollPwait2, loopwatchProgFexitEpollPwait2, loopwatchProgEnterEpollPwait2, loopwatchProgExitEpollPwait2},
}
