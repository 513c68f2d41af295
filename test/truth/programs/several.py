"""A program in which several callbacks of one iteration each block, and some in which it only looks so.

usage: several.py LOOP SECONDS ROUNDS

Prints a line of JSON when the loop runs, then, when its standard input ends, plays every case ROUNDS times and prints a
line for each block: one for each callback, however many functions that calls. Blocks of one "group" are of one active
period.
"""

import inspect
import json
import os
import socket
import sys
import time

import turn

turn.wait()  # start-up is computing, too

import record
from loops import step

SECONDS = 0.0
GAP = 0.02
LOG = []


def tell(entry):
    data = (json.dumps(entry) + "\n").encode()
    while data:
        try:
            data = data[os.write(1, data):]
        except BlockingIOError:
            time.sleep(0.001)


def told_to_go():
    try:
        return os.read(0, 1) == b""
    except BlockingIOError:
        return False


def keep(kind, *causes):
    LOG.append(record.take(kind, causes))


# What blocks. Each notes itself when it is done.


def sleeping():
    record.begin()
    time.sleep(1.8 * SECONDS)
    record.end()
    keep("sleeping", "sleep")


def computing():
    end = record.begin() + 1.7 * SECONDS * 1e9
    while record.clock() < end:
        pass
    record.end()
    keep("computing", "cpu", "native")


def receiving():
    ours, theirs = socket.socketpair()
    ours.settimeout(2 * SECONDS)
    record.begin()
    try:
        ours.recv(1)
    except OSError:
        pass
    record.end()
    ours.close()
    theirs.close()
    keep("receiving", "net")


def sleep_first():
    record.begin()
    time.sleep(1.9 * SECONDS)
    record.end()


def sleep_second():
    record.begin()
    time.sleep(1.4 * SECONDS)
    record.end()


def one_after_the_other():
    """One callback that calls two functions is one block."""
    sleep_first()
    sleep_second()
    keep("one_after_the_other", "sleep")


async def awaiting_first():
    sleep_first()


async def awaiting_second():
    sleep_second()


async def without_suspending():
    await awaiting_first()
    await awaiting_second()
    keep("without_suspending", "sleep")


async def renamed():
    import asyncio

    sleep_first()
    asyncio.current_task().set_name("another name")
    sleep_second()
    keep("renamed", "sleep")


def small():
    end = record.begin() + SECONDS / 8 * 1e9
    while record.clock() < end:
        pass
    record.end()
    keep("many_small", "cpu", "native")


async def handler():
    sleeping()


class Ways:
    """How one kind of loop runs callbacks, tasks, and tasks that have waited, in one iteration."""

    def __init__(self, sleep, callbacks, tasks=None, waiting=None, asyncio=False, alike=False):
        self.sleep, self.callbacks, self.tasks, self.waiting, self.asyncio = sleep, callbacks, tasks, waiting, asyncio
        self.alike = alike  # something tells callbacks of one function apart


def cases(ways):
    """(name, how to begin, how many callbacks note themselves)"""
    calls = ways.callbacks
    yield "alone", lambda: calls([sleeping]), 1
    yield "two callbacks", lambda: calls([sleeping, computing]), 2
    yield "the same the other way round", lambda: calls([computing, sleeping]), 2
    yield "three callbacks", lambda: calls([computing, receiving, sleeping]), 3
    yield "one callback", lambda: calls([one_after_the_other]), 1
    yield "one that is long, and short ones", lambda: calls([small, sleeping, small, small]), 4
    yield "many", lambda: calls([small] * 20), 20
    if ways.alike:
        yield "two callbacks of one function", lambda: calls([sleeping, sleeping]), 2
    if ways.tasks:
        yield "two tasks", lambda: ways.tasks([handler, without_suspending]), 2
        yield "one task", lambda: ways.tasks([without_suspending]), 1
        if ways.asyncio:
            yield "a task that changes its name", lambda: ways.tasks([renamed]), 1
    if ways.waiting:
        yield "two of one function", lambda: ways.waiting([handler, handler]), 2


def blocks():
    """What was noted, without short callbacks: many of them are one block, a few are none."""
    short = [entry for entry in LOG if entry["kind"] == "many_small"]
    if len(short) < len(LOG):
        return [entry for entry in LOG if entry not in short]
    return [dict(short[0], end_ns=short[-1]["end_ns"], shape="many")]


async def play(ways, rounds):
    os.set_blocking(0, False)
    tell({"event": "ready"})
    while not told_to_go():
        await ways.sleep(GAP)
    turn.drop()
    group = 0
    for _ in range(rounds):
        for name, begin, many in cases(ways):
            LOG.clear()
            while not turn.take():
                await ways.sleep(GAP)
            delay = record.run_delay()
            await ways.sleep(GAP)
            begun = begin()
            if inspect.isawaitable(begun):
                await begun
            while len(LOG) < many:
                await ways.sleep(GAP)
            await ways.sleep(GAP)
            turn.drop()
            group += 1
            delay = record.run_delay() - delay
            for entry in blocks():
                tell(dict(entry, group=group, case=name, run_delay_ns=delay, written_ns=record.clock()))
    await ways.sleep(0.3)
    now = record.clock()
    tell({"event": "done", "start_ns": now, "end_ns": now})


def on_asyncio(rounds, make=None):
    import asyncio

    loop = (make or asyncio.new_event_loop)()
    asyncio.set_event_loop(loop)
    running = set()

    def callbacks(functions):
        for function in functions:
            loop.call_soon(function)

    def tasks(coroutines):
        for coroutine in coroutines:
            task = loop.create_task(coroutine())
            running.add(task)
            task.add_done_callback(running.discard)

    async def waiting(coroutines):
        ready = asyncio.Event()

        async def wait(coroutine):
            await ready.wait()
            await coroutine()

        tasks([lambda c=coroutine: wait(c) for coroutine in coroutines])
        await asyncio.sleep(GAP)
        ready.set()

    loop.run_until_complete(play(Ways(asyncio.sleep, callbacks, tasks, waiting, asyncio=True, alike=not make), rounds))


def on_uvloop(rounds):
    import uvloop

    on_asyncio(rounds, uvloop.new_event_loop)


def on_tornado(rounds):
    import tornado.gen
    import tornado.ioloop

    loop = tornado.ioloop.IOLoop(make_current=True)

    def callbacks(functions):
        for function in functions:
            loop.add_callback(function)

    loop.run_sync(lambda: play(Ways(tornado.gen.sleep, callbacks, callbacks, alike=True), rounds))


def on_trio(rounds):
    import trio

    async def main():
        async with trio.open_nursery() as nursery:

            def tasks(coroutines):
                for coroutine in coroutines:
                    nursery.start_soon(coroutine)

            def callbacks(functions):
                async def call(function):
                    function()

                for function in functions:
                    nursery.start_soon(call, function)

            async def waiting(coroutines):
                ready = trio.Event()

                async def wait(coroutine):
                    await ready.wait()
                    await coroutine()

                for coroutine in coroutines:
                    nursery.start_soon(wait, coroutine)
                await trio.sleep(GAP)
                ready.set()

            await play(Ways(trio.sleep, callbacks, tasks, waiting, alike=True), rounds)

    trio.run(main)


def on_twisted(rounds):
    from twisted.internet import defer, reactor, task

    async def sleep(seconds):
        await task.deferLater(reactor, seconds, lambda: None)

    def callbacks(functions):
        for function in functions:
            reactor.callLater(0, function)

    def waiting(coroutines):
        async def wait(coroutine, ready):
            await ready
            await coroutine()

        for coroutine in coroutines:
            ready = defer.Deferred()
            defer.ensureDeferred(wait(coroutine, ready))
            reactor.callLater(0, ready.callback, None)

    def start():
        done = defer.ensureDeferred(play(Ways(sleep, callbacks, None, waiting), rounds))
        done.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(start)
    reactor.run(installSignalHandlers=False)


def on_gevent(rounds):
    import gevent
    import gevent.event

    async def sleep(seconds):
        gevent.sleep(seconds)

    def callbacks(functions):
        for function in functions:
            gevent.spawn(function)

    def waiting(coroutines):
        ready = gevent.event.Event()

        def wait(coroutine):
            ready.wait()
            step(coroutine())

        for coroutine in coroutines:
            gevent.spawn(wait, coroutine)
        gevent.sleep(GAP)
        ready.set()

    gevent.spawn(step, play(Ways(sleep, callbacks, None, waiting), rounds)).get()


def on_eventlet(rounds):
    import eventlet
    import eventlet.hubs

    async def sleep(seconds):
        eventlet.sleep(seconds)

    def callbacks(functions):
        for function in functions:
            eventlet.spawn(function)

    def waiting(coroutines):
        def wait(coroutine):
            eventlet.sleep(2 * GAP)
            step(coroutine())

        for coroutine in coroutines:
            eventlet.spawn(wait, coroutine)
        eventlet.sleep(GAP)
        eventlet.sleep(0)
        time.sleep(1.5 * GAP)  # until both are due

    listener = eventlet.listen(("127.0.0.1", 0))
    eventlet.spawn(listener.accept)
    eventlet.spawn(step, play(Ways(sleep, callbacks, None, waiting, alike=True), rounds)).wait()


LOOPS = {
    "asyncio": on_asyncio,
    "uvloop": on_uvloop,
    "tornado": on_tornado,
    "trio": on_trio,
    "twisted": on_twisted,
    "gevent": on_gevent,
    "eventlet": on_eventlet,
}


def main():
    global SECONDS
    loop, seconds, rounds = sys.argv[1:]
    SECONDS = float(seconds)
    try:
        LOOPS[loop](int(rounds))
    except ImportError as missing:
        tell({"event": "absent", "missing": str(missing)})


if __name__ == "__main__":
    main()
