# SPDX-License-Identifier: Apache-2.0
"""One event loop that turns RATE times a second, in bursts of turns that do not wait.

Usage: ticker.py RATE. Prints "ready"; ends with its stdin.
"""
import asyncio
import sys

BURST_SECONDS = 0.05  # a wait for each turn would cost more than the turns


async def turn(rate):
    loop = asyncio.get_running_loop()
    period = max(BURST_SECONDS, 1 / rate)
    turns = max(round(rate * period), 1)
    at = loop.time()
    while True:
        at = max(at + period, loop.time())  # on a crowded host: late, but not ever later
        await asyncio.sleep(at - loop.time())
        for _ in range(turns - 1):
            await asyncio.sleep(0)


async def main():
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
    turning = asyncio.create_task(turn(float(sys.argv[1])))
    print("ready", flush=True)
    await ended.wait()
    turning.cancel()


asyncio.run(main())
