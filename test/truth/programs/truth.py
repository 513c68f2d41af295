"""Block an event loop on purpose and tell when, where and why.

Prints "ready" once the loop runs, waits there for its standard input to end, plays a seeded
schedule of blocks around the threshold, and prints one JSON object a line for each. Descriptor 3,
if open, is a file that programs running side by side lock so that one at a time computes.
"""

import argparse
import inspect
import json
import os
import random
import sys

import turn

turn.wait()  # start-up is computing, too

import record
from blocks import BLOCKS
from loops import LOOPS

QUIET = 0.02
GAP = 0.01  # before and after a block, which begins and ends with its iteration
LINGER = 0.3  # what is named after a block's end has to be there a moment longer


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("loop", choices=sorted(LOOPS))
    parser.add_argument("--threshold", type=float, required=True, help="seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--over", type=int, default=2, help="blocks of each kind above the threshold")
    parser.add_argument("--under", type=int, default=1, help="and below it")
    parser.add_argument("--kind", action="append", help="only these kinds")
    parser.add_argument("--part", default="0/1", help="K/N: of all kinds every Nth from the Kth on")
    return parser.parse_args()


def schedule(options):
    """(block, seconds) in random order: 0.3 to 0.6 or 1.25 to 2 times the threshold."""
    chance = random.Random(options.seed)
    plan = []
    part, parts = map(int, options.part.split("/"))
    for block in BLOCKS[part::parts]:
        if options.kind and block.kind not in options.kind:
            continue
        plan += [(block, chance.uniform(1.25, 2.0) * options.threshold) for _ in range(options.over)]
        plan += [(block, chance.uniform(0.3, 0.6) * options.threshold) for _ in range(options.under)]
    chance.shuffle(plan)
    return plan


def told_to_go():
    try:
        return os.read(0, 1) == b""
    except BlockingIOError:
        return False


def tell(entry):
    os.write(1, (json.dumps(entry) + "\n").encode())


def small_step(seconds):
    stop = record.begin() + seconds * 1e9
    while record.clock() < stop:
        pass
    record.end()


class Log:
    """What happened since the last entry: the preparing and the waiting for a CPU."""

    def __init__(self):
        self.delay = 0  # starting up counts, too
        self.prepared = [0, 0]

    def prepare(self, block, seconds):
        self.prepared[0] = record.clock()
        made = block.prepare(seconds) if block.prepare else ()
        self.prepared[1] = record.clock()
        return made

    def write(self, entry, seconds):
        delay = record.run_delay()
        entry["wanted_ns"] = int(seconds * 1e9)
        entry["prepared_ns"] = self.prepared
        entry["run_delay_ns"] = delay - self.delay
        entry["written_ns"] = record.clock()
        self.delay, self.prepared = delay, [0, 0]
        tell(entry)


async def play(options, sleep, together):
    turn.drop()
    log = Log()
    tell({"event": "ready"})
    while not told_to_go():
        await sleep(QUIET)
    for block, seconds in schedule(options):
        while block.burns_cpu and not turn.take():
            await sleep(QUIET)
        made = log.prepare(block, seconds)
        await sleep(GAP)
        result = block.function(seconds, *made)
        if inspect.isawaitable(result):
            await result
        await sleep(GAP)
        turn.drop()
        log.write(record.take(block.kind, block.causes), seconds)
    if together and not options.kind:
        while not turn.take():
            await sleep(QUIET)
        seconds = 1.5 * options.threshold
        await sleep(GAP)
        await together([lambda: small_step(seconds / 20)] * 20)
        await sleep(GAP)
        turn.drop()
        entry = record.take("many_small", ("cpu", "native"))
        entry["shape"] = "many"
        log.write(entry, seconds)
    await sleep(LINGER)
    now = record.clock()
    log.write({"event": "done", "start_ns": now, "end_ns": now}, 0)


def main():
    options = arguments()
    os.set_blocking(0, False)
    sys.setrecursionlimit(3000)
    for block in BLOCKS:
        if block.burns_cpu:  # calibrates what is calibrated by a first call
            block.function(0.0, *(block.prepare(0.0) if block.prepare else ()))
            record.take(block.kind, block.causes)
    try:
        LOOPS[options.loop](lambda sleep, together: play(options, sleep, together))
    except ImportError as missing:
        tell({"event": "absent", "missing": str(missing)})


if __name__ == "__main__":
    main()
