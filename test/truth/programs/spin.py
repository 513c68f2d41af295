"""A loop that looks for more to do instead of waiting, part of the time or all of it.

usage: spin.py LOOP spin|half|short|endless SECONDS

spin never rests for so long; half rests every other 50 ms; short only rests, for a millisecond at a time; endless spins
until it is killed. Prints "ready" when the loop runs, or spins without end. Then it waits for its standard input to end,
does that, prints an account of its time, and rests until it is killed.
"""

import json
import os
import sys
import threading
import time

from loops import LOOPS
from record import PROC

clock = time.monotonic_ns

LOOP, KIND, SECONDS = sys.argv[1], sys.argv[2], float(sys.argv[3])
TURN = 0.05
FOREVER = 1000


def say(**entry):
    print(json.dumps(entry), flush=True)


def awake():
    """Nanoseconds this thread has run or waited for a CPU so far, by the kernel's own account."""
    fd = os.open("thread-self/schedstat", os.O_RDONLY, dir_fd=PROC)
    try:
        return sum(map(int, os.read(fd, 256).split()[:2]))
    finally:
        os.close(fd)


class Account:
    """How long the loop has spun, and for how much of the time that it was awake this and starting up account."""

    def __init__(self):
        self.spun_ns, self.awake_ns = 0, awake()

    async def spin(self, sleep, seconds):
        before, begin = awake(), clock()
        while clock() < begin + seconds * 1e9:
            await sleep(0)
        self.spun_ns += clock() - begin
        self.awake_ns += awake() - before


async def rest(sleep, seconds, at_a_time):
    end = clock() + seconds * 1e9
    while clock() < end:
        await sleep(at_a_time)


async def main(sleep, _together):
    told = threading.Thread(target=sys.stdin.read)
    told.start()
    for _ in range(3):
        await sleep(0.01)
    if KIND == "endless":
        await sleep(0)
        say(event="ready", tid=threading.get_native_id())
        while True:
            await sleep(0)
    say(event="ready", tid=threading.get_native_id())
    while told.is_alive():
        await sleep(0.02)
    if KIND == "spin":
        await account.spin(sleep, SECONDS)
    end = clock() + SECONDS * 1e9
    while KIND == "half" and clock() < end:
        await account.spin(sleep, TURN)
        await rest(sleep, TURN, TURN)
    if KIND == "short":
        await rest(sleep, SECONDS, 0.001)
    say(event="done", spun_ns=account.spun_ns, awake_ns=account.awake_ns)
    await sleep(FOREVER)


account = Account()
try:
    LOOPS[LOOP](main)
except ImportError as missing:
    say(event="absent", missing=str(missing))
