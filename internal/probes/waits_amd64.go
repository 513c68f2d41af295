package probes

var waits = []wait{
	{"epoll_wait", loopwatchProgFentryEpollWait, loopwatchProgFexitEpollWait, loopwatchProgEnterEpollWait, loopwatchProgExitEpollWait},
	{"epoll_pwait", loopwatchProgFentryEpollPwait, loopwatchProgFexitEpollPwait, loopwatchProgEnterEpollPwait, loopwatchProgExitEpollPwait},
	{"epoll_pwait2", loopwatchProgFentryEpollPwait2, loopwatchProgFexitEpollPwait2, loopwatchProgEnterEpollPwait2, loopwatchProgExitEpollPwait2},
}
