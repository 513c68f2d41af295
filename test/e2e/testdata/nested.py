"""A loop that is run inside a callback of another.

Usage: nested.py OUTER INNER. OUTER is asyncio, twisted (its epoll reactor) or asyncioreactor (Twisted on asyncio), INNER
asyncio (asyncio.run, or a loop's run_until_complete where asyncio does not allow that) or twisted. Prints "ready" when the
outer one runs. After a line on its standard input it runs the inner one a few times, and blocks by hold inside it and
outside of it; prints a JSON object for each run and each block, and then "done".
"""

import asyncio
import json
import os
import sys
import threading
import time

OUTER, INNER = sys.argv[1:]
TIMES = 2
clock = time.monotonic_ns
told = threading.Event()


def run_delay():
    with open("/proc/thread-self/schedstat") as f:
        return int(f.read().split()[1])


def tell(function, call, *args):
    delay, begin = run_delay(), clock()
    call(*args)
    print(json.dumps({"function": function, "start_ns": begin, "end_ns": clock(), "run_delay_ns": run_delay() - delay}), flush=True)


def hold(seconds):
    time.sleep(seconds)


def blocking(where):
    tell(where, hold, 0.25)


async def body():
    await asyncio.sleep(0.2)
    blocking("inside")
    await asyncio.sleep(0.2)


def run_asyncio():
    if asyncio._get_running_loop() is None:
        asyncio.run(body())
        return
    outer, loop = asyncio._get_running_loop(), asyncio.new_event_loop()
    asyncio._set_running_loop(None)
    try:
        loop.run_until_complete(body())
    finally:
        asyncio._set_running_loop(outer)
        loop.close()


def run_twisted():
    from twisted.internet.epollreactor import EPollReactor

    inner = EPollReactor()
    inner.callLater(0.2, blocking, "inside")
    inner.callLater(0.7, inner.stop)
    inner.run(installSignalHandlers=False)


run_inner = {"asyncio": run_asyncio, "twisted": run_twisted}[INNER]


def runs():
    """What the outer loop does, step by step, with the seconds to rest behind each."""
    print("ready", flush=True)
    while not told.is_set():
        yield 0.02
    for _ in range(TIMES):
        tell("run_inner", run_inner)
        yield 0.1
        blocking("hold")
        yield 0.1
    print("done", flush=True)


async def on_asyncio():
    for rest in runs():
        await asyncio.sleep(rest)
    await asyncio.sleep(1000)


def on_twisted(reactor):
    steps = runs()

    def step():
        reactor.callLater(next(steps, 1000), step)

    reactor.callWhenRunning(step)
    reactor.run()


if INNER == "twisted":
    import twisted.internet.epollreactor  # takes its time
threading.Thread(target=lambda: (sys.stdin.readline(), told.set()), daemon=True).start()
if OUTER == "asyncio":
    asyncio.run(on_asyncio())
else:
    if OUTER == "twisted":
        from twisted.internet import epollreactor

        epollreactor.install()
    else:
        from twisted.internet import asyncioreactor

        asyncioreactor.install(asyncio.new_event_loop())
    from twisted.internet import reactor

    on_twisted(reactor)
