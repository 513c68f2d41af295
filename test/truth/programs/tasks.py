"""A program whose asyncio tasks block, each under a name it knows, and callbacks that are no task's.

usage: tasks.py asyncio|uvloop SECONDS ROUNDS

Prints a line of JSON when the loop runs, then, when its standard input ends, blocks ROUNDS times in
each way for SECONDS and prints every block with the name of the task ("" where none was running).
"""

import asyncio
import json
import os
import sys
import threading
import time


def say(entry):
    """Print a line of JSON, however little a full pipe takes at once."""
    data = (json.dumps(entry) + "\n").encode()
    while data:
        try:
            data = data[os.write(1, data):]
        except BlockingIOError:
            time.sleep(0.001)


SECONDS = 0.0
LOG = []


def log(kind, start, end, task):
    name = "" if task is None else task.get_name()[:5000]
    LOG.append({"kind": kind, "tid": threading.get_native_id(), "start_ns": start, "end_ns": end, "task": name})


def block(kind, task=None, compute=False):
    """Block for SECONDS, then log it. The name is asked for afterwards: asking may make it."""
    start = time.monotonic_ns()
    if compute:
        while time.monotonic_ns() < start + SECONDS * 1e9:
            pass
    else:
        time.sleep(SECONDS)
    log(kind, start, time.monotonic_ns(), task)


async def rest():
    await asyncio.sleep(0.01)


async def work(kind, compute=False):
    await rest()
    block(kind, asyncio.current_task(), compute)
    await rest()


async def inner(kind):
    await rest()
    block(kind, asyncio.current_task())
    await rest()


async def outer(kind):
    for _ in range(2):
        await inner(kind)


async def numbers(kind):
    await rest()
    block(kind, asyncio.current_task())
    yield 1
    await rest()
    block(kind, asyncio.current_task())
    yield 2


async def iterate(kind):
    async for _ in numbers(kind):
        await rest()


async def renamed(kind):
    task = asyncio.current_task()
    for name in ("first", "größe Ω", "x" * 100, "☃" * 60, "two\nlines \x1b[31m", "\ud800 alone", 7, "", "😀" * 40):
        task.set_name(name)
        await rest()
        block(kind, task)
        await rest()


async def of_parent(kind):
    """A task that waits for another: the one that runs is to be named."""
    await asyncio.create_task(work(kind), name="child of " + asyncio.current_task().get_name())


async def without_suspending(kind):
    block(kind, asyncio.current_task())
    await rest()


class Task(asyncio.Task):
    pass


def callback(kind):
    block(kind)


async def soon(call, *args):
    """Have the loop call something, and wait until it has."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def run():
        call(*args)
        loop.call_later(0.01, done.set_result, None)

    loop.call_later(0.01, run)
    await done


async def done_callback(kind):
    future = asyncio.get_running_loop().create_future()
    future.add_done_callback(lambda _: block(kind))
    asyncio.get_running_loop().call_later(0.01, future.set_result, None)
    await asyncio.sleep(SECONDS + 0.05)


async def eager(kind):
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    try:
        await rest()
        await asyncio.create_task(without_suspending(kind), name="eager one")
        await rest()
        await asyncio.create_task(without_suspending(kind))
        await asyncio.create_task(work(kind))
        # The parent goes on after its child has run eagerly and suspended.
        child = asyncio.create_task(rest())
        block(kind, asyncio.current_task())
        await child
    finally:
        loop.set_task_factory(None)


async def short_lived(kind):
    """Tasks come and go, so that the memory of one is the next one's."""
    for _ in range(5):
        for _ in range(20):
            await asyncio.create_task(rest_not())
        await asyncio.create_task(without_suspending(kind))
        await asyncio.gather(*(rest_not() for _ in range(20)))


async def rest_not():
    pass


async def once(kind):
    create = asyncio.create_task
    await create(work("default"))
    await create(work("computing", compute=True))
    await create(work("named"), name="named %s" % kind)
    await create(outer("nested"))
    await create(iterate("async generator"))
    await create(renamed("renamed"))
    await create(of_parent("child"))
    await create(without_suspending("at once"))
    await Task(work("subclass"), loop=asyncio.get_running_loop())
    await create(work("long name"), name="long " * 200000)
    await asyncio.gather(*(work("gathered") for _ in range(3)))
    await soon(callback, "call_later")
    await done_callback("done callback")
    await create(short_lived("short-lived"))
    if hasattr(asyncio, "eager_task_factory"):
        await create(eager("eager"))


async def beside(stop):
    """What the other loops do meanwhile: they are in a task nearly all the time."""
    await asyncio.sleep(0.5)
    while not stop.is_set():
        await asyncio.create_task(without_suspending("other thread"))


def on_thread(new_loop, stop):
    loop = new_loop()
    try:
        loop.run_until_complete(beside(stop))
    finally:
        loop.close()


def new_loop(kind):
    if kind == "uvloop":
        try:
            import uvloop
        except ImportError:
            say({"event": "absent", "missing": kind})
            sys.exit()
        return uvloop.new_event_loop
    return asyncio.new_event_loop


async def main(kind, rounds):
    say({"event": "ready"})
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for _ in range(rounds):
        await once(kind)
    stop = threading.Event()
    others = [threading.Thread(target=on_thread, args=(new_loop(kind), stop)) for _ in range(3)]
    for thread in others:
        thread.start()
    await asyncio.sleep(1)
    for _ in range(rounds):
        await once(kind + " beside others")
    stop.set()
    for thread in others:
        thread.join()


if __name__ == "__main__":
    loop = new_loop(sys.argv[1])()
    SECONDS = float(sys.argv[2])
    try:
        loop.run_until_complete(main(sys.argv[1], int(sys.argv[3])))
    finally:
        loop.close()
    for entry in LOG:
        say(entry)
    say({"event": "done"})
