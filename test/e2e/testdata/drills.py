"""Do to a machine what tests of an emergency need.

Usage: drills.py WHAT ARGUMENTS…. Prints "ready" when all is set up, waits for its standard input to end,
prints a JSON list [start_ns, end_ns] for each block of its loop, and "done".
"""

import asyncio
import mmap
import os
import select
import sys
import time

clock = time.monotonic_ns


def told_to_go():
    return bool(select.select([0], [], [], 0)[0])


def say(what):
    print(what, flush=True)


async def start():
    say("ready")
    while not told_to_go():
        await asyncio.sleep(0.01)


def sleeping(seconds):
    start = clock()
    time.sleep(seconds)
    say([start, clock()])


def deeply(seconds, depth=240):
    """With a stack that takes much room."""
    if depth:
        deeply(seconds, depth - 1)
    else:
        sleeping(seconds)


def computing(seconds):
    start = clock()
    stop = start + seconds * 1e9
    while clock() < stop:
        pass
    say([start, clock()])


def working(turns):
    """So much work, however long it takes."""
    start = clock()
    for _ in range(turns):
        pass
    say([start, clock()])


async def blocks(how, argument, count):
    await start()
    for _ in range(int(count)):
        {"sleeping": sleeping, "deeply": deeply, "computing": computing, "working": lambda n: working(int(n))}[how](float(argument))
        await asyncio.sleep(0.02)


def short_life():
    """What a child does: it waits once, as a loop would, and is no more."""
    select.epoll().poll(0)
    os._exit(0)


async def children(count, alive, every):
    """Forks so many, no more than alive at a time, and blocks now and then between."""
    await start()
    living = 0
    for n in range(int(count)):
        if os.fork() == 0:
            short_life()
        living += 1
        while living >= int(alive):
            os.wait()
            living -= 1
        if n % int(every) == 0:
            while living:
                os.wait()
                living -= 1
            await asyncio.sleep(0.02)
            sleeping(0.2)
            await asyncio.sleep(0.02)
        elif n % 20 == 0:
            await asyncio.sleep(0)
    while living:
        os.wait()
        living -= 1


def hog(left):
    """Takes memory until so many MiB are available, and keeps it."""
    kept = []
    while True:
        with open("/proc/meminfo") as lines:
            available = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) // 1024
        if available <= int(left):
            break
        kept.append(mmap.mmap(-1, min(16, available - int(left)) << 20))
        for page in range(0, len(kept[-1]), 4096):
            kept[-1][page] = 1
    say("ready")
    sys.stdin.read()


what, arguments = sys.argv[1], sys.argv[2:]
if what == "hog":
    hog(*arguments)
else:
    asyncio.run({"blocks": blocks, "children": children}[what](*arguments))
say("done")
