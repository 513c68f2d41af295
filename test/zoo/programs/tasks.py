# SPDX-License-Identifier: Apache-2.0
"""Tasks made to cost who lists them.

usage: tasks.py ATTACK
"""

import asyncio
import time

from common import ready, run


async def shared_main():
    """2^15 tasks that are awaited by the same set of tasks."""
    async def stay():
        await asyncio.sleep(1e6)

    tasks = [asyncio.create_task(stay(), name="n" * 4096) for _ in range(1 << 15)]

    async def gather():
        await asyncio.wait(tasks)

    waiters = [asyncio.create_task(gather()) for _ in range(4)]
    await asyncio.sleep(0.01)
    ready()
    while True:
        await asyncio.sleep(0.02)
        time.sleep(0.11)
    return waiters


async def rings_main():
    """Tasks that await each other in a ring, and coroutines that await themselves."""
    loop = asyncio.get_running_loop()
    futures = [loop.create_future() for _ in range(3)]

    async def stay(n):
        await futures[n]

    tasks = [asyncio.create_task(stay(n)) for n in range(3)]
    await asyncio.sleep(0.01)
    try:
        from asyncio import future_add_to_awaited_by as add
    except ImportError:
        def add(_future, _waiter):
            pass
    for n in range(3):
        add(tasks[n], tasks[(n + 1) % 3])
        add(tasks[n], tasks[n])
    ready()
    while True:
        await asyncio.sleep(0.02)
        time.sleep(0.11)


run({"shared": lambda: asyncio.run(shared_main()), "rings": lambda: asyncio.run(rings_main())})
