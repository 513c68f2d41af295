"""Fork inside an event loop, or before it.

Usage: forked.py pool|bare|nested|before. Prints a JSON object with the processes that run a loop of their own
("loops") and those that have only a copy of their parent's ("copies"), and goes on until its standard input ends.

pool: children of multiprocessing, as a ProcessPoolExecutor has them, one of which runs a loop. bare: children of os.fork that sleep and wait. nested: a child that begins
a loop inside the copy. before: two processes that fork first and run a loop each, from the same line.
Every loop of a process's own blocks by hold.
"""

import asyncio
import json
import multiprocessing
import os
import select
import signal
import sys
import time

first = os.getpid()


def over():
    """Tells whether the program that was started is to end, or has."""
    if os.getpid() != first:
        return os.getppid() != first
    return bool(select.select([0], [], [], 0)[0])


def hold():
    time.sleep(0.3)


async def blocking():
    while not over():
        hold()
        await asyncio.sleep(0.02)


def say(loops, copies):
    print(json.dumps({"loops": loops, "copies": copies}), flush=True)


def child(what):
    pid = os.fork()
    if pid == 0:
        try:
            what()
        finally:
            os._exit(0)
    return pid


async def pool():
    await asyncio.sleep(0.02)
    # An executor needs semaphores, and so a /dev/shm: this is what it starts its workers with.
    workers = [multiprocessing.get_context("fork").Process(target=f) for f in (sleeps, polls, runs)]
    for worker in workers:
        worker.start()
    say([first, workers[2].pid], [worker.pid for worker in workers[:2]])
    await blocking()
    for worker in workers:
        worker.kill()
        worker.join()


def sleeps():
    while not over():
        time.sleep(0.2)


def polls():
    """Has an epoll object of its own, which is no loop's."""
    epoll = select.epoll()
    while not over():
        epoll.poll(0.2)


async def bare():
    await asyncio.sleep(0.02)
    copies = [child(sleeps), child(polls)]
    await asyncio.sleep(0.02)
    say([first], copies)
    await blocking()
    for pid in copies:
        os.kill(pid, signal.SIGKILL)


def runs():
    asyncio.events._set_running_loop(None)
    asyncio.run(blocking())


async def nested():
    await asyncio.sleep(0.02)
    inner = child(runs)
    await asyncio.sleep(0.02)
    say([first, inner], [])
    await blocking()
    os.kill(inner, signal.SIGKILL)


what = sys.argv[1]
if what == "before":
    pid = os.fork()
    if pid:
        say([first, pid], [])
    asyncio.run(blocking())
else:
    asyncio.run({"pool": pool, "bare": bare, "nested": nested}[what]())
