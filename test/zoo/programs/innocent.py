# SPDX-License-Identifier: Apache-2.0
"""A program that does nothing but good, next to one that does not: its loop blocks now and then.

usage: innocent.py SECONDS PAUSE: blocks for so long, and rests for so long in between. Prints [begin, end] of each block
(CLOCK_MONOTONIC, ns) as it ends.
"""

import asyncio
import os
import sys
import time

SECONDS, PAUSE = float(sys.argv[1]), float(sys.argv[2])


def hold():
    begin = time.monotonic_ns()
    time.sleep(SECONDS)
    return begin, time.monotonic_ns()


async def main():
    await asyncio.sleep(PAUSE)
    while True:
        begin, end = hold()
        os.write(1, b"[%d, %d]\n" % (begin, end))
        await asyncio.sleep(PAUSE)


asyncio.run(main())
