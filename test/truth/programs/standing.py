"""Brings a loop into a state and leaves it there.

usage: standing.py LOOP idle|sleep|spin|gil

Prints "ready" when the loop runs, and "standing" when its standard input has ended and it is about to get there, with
its thread and the time before the wait after which it goes there.
"""

import json
import re
import sys
import threading
import time

from loops import LOOPS

FOREVER = 1000


def say(**entry):
    print(json.dumps(entry), flush=True)


def hog():
    # The regular expression engine gives the GIL up for nobody.
    re.match(r"(a+)+$", "a" * 64 + "b")


def standing(since):
    say(event="standing", tid=threading.get_native_id(), start_ns=since)


def stand(state, since):
    standing(since)
    if state == "gil":
        threading.Thread(target=hog, daemon=True).start()
    while state == "spin":
        pass
    time.sleep(0.01 if state == "gil" else FOREVER)


async def main(sleep, together):
    told = threading.Thread(target=sys.stdin.read)
    told.start()
    say(event="ready")
    going = True
    while going:
        going, since = told.is_alive(), time.monotonic_ns()
        await sleep(0.01)
    if sys.argv[2] == "idle":
        standing(since)
        await sleep(FOREVER)
    stand(sys.argv[2], since)


try:
    LOOPS[sys.argv[1]](main)
except ImportError as missing:
    say(event="absent", missing=str(missing))
