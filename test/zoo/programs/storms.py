# SPDX-License-Identifier: Apache-2.0
"""Processes, threads and loops that come and go faster than one can look.

usage: storms.py ATTACK
"""

import asyncio
import os
import select
import socket
import sys
import threading
import time

from common import child, collect, ready, run


def forks():
    """Pythons that fork as fast as they can; each child has a loop that blocks once."""

    async def once():
        await asyncio.sleep(0.001)
        time.sleep(0.1)
        await asyncio.sleep(0.001)

    ready()
    while True:
        child(lambda: asyncio.run(once()))
        time.sleep(0.005)
        collect()


def execs():
    """Programs that become others as fast as they can."""
    ready()

    def again():
        os.execv(sys.executable, [sys.executable, "-S", "-E", "-c", "import select; e = select.epoll(); [e.poll(0.001) for _ in range(3)]"])

    def true():
        os.execv("/bin/true", ["true"])

    while True:
        child(again)
        child(true)
        time.sleep(0.02)
        collect()


def threads():
    """Threads with a loop each, that come and go."""

    def loop():
        asyncio.run(asyncio.sleep(0.001))

    ready()
    while True:
        threading.Thread(target=loop).start()
        time.sleep(0.002)


def loops():
    """More loops in one process than there is room for by default."""

    def loop():
        async def stay():
            while True:
                await asyncio.sleep(0.5)

        asyncio.run(stay())

    for _ in range(400):
        threading.Thread(target=loop, daemon=True).start()
    ready()
    time.sleep(1e6)


def blocks():
    """Loops that block as often as they can."""

    async def main():
        await asyncio.sleep(0.01)
        while True:
            await asyncio.sleep(0.0001)
            time.sleep(0.1001)

    for _ in range(20):
        child(lambda: asyncio.run(main()))
    ready()
    time.sleep(1e6)


def descriptors():
    """A wait for as many descriptors as there may be, and an epoll in an epoll in an epoll."""
    poller = select.epoll()
    kept = []
    try:
        while len(kept) < 3000:
            pair = socket.socketpair()
            kept.append(pair)
            for one in pair:
                poller.register(one.fileno(), select.EPOLLIN)
    except OSError:
        kept.pop()
    inner = poller
    for _ in range(2):
        outer = select.epoll()
        kept.append(outer)
        outer.register(inner.fileno(), select.EPOLLIN)
        inner = outer

    async def main():
        asyncio.get_running_loop().add_reader(inner.fileno(), print)
        await asyncio.sleep(0.01)
        ready()
        while True:
            await asyncio.sleep(0.02)
            select.select([], [], [], 0.05)
            p = select.poll()
            for pair in kept[:1000]:
                if isinstance(pair, tuple):
                    p.register(pair[0].fileno(), select.POLLIN)
            p.poll(120)

    asyncio.run(main())


run({"forks": forks, "execs": execs, "threads": threads, "loops": loops, "blocks": blocks, "descriptors": descriptors})
