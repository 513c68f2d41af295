# SPDX-License-Identifier: Apache-2.0
"""One event loop that turns RATE times a second, in bursts every 10 ms.

Usage: ticker.py RATE. Prints "ready"; ends with its stdin.
"""
import asyncio
import sys

BURST_SECONDS = 0.01  # the wait's own timeout counts milliseconds, so a timer for each turn would be too slow


async def turn(rate):
    loop = asyncio.get_running_loop()
    at, owed = loop.time(), 0.0
    while True:
        at += BURST_SECONDS
        owed += rate * BURST_SECONDS
        await asyncio.sleep(at - loop.time())
        owed -= 1
        while owed >= 1:
            await asyncio.sleep(0)
            owed -= 1


async def main():
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
    turning = asyncio.create_task(turn(float(sys.argv[1])))
    print("ready", flush=True)
    await ended.wait()
    turning.cancel()


asyncio.run(main())
