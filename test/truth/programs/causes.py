"""Block an event loop in ways whose cause is known, and tell when, where, why and who held it.

Prints "ready" once the loop runs, waits there for its standard input to end, plays the kinds of
kinds_*.py in a seeded order, and prints one JSON object a line for each, as truth.py does.
"""

import argparse
import asyncio
import gc
import inspect
import os
import random
import sys

from truth import LINGER, QUIET, Log, tell, told_to_go
import kinds
import kinds_files
import kinds_host
import kinds_peers
import kinds_threads
import kinds_work
import record
import turn
from loops import LOOPS

TASK = "player of causes"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("loop", choices=("asyncio", "uvloop"))
    parser.add_argument("--threshold", type=float, required=True, help="seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--times", type=int, default=1, help="blocks of each kind")
    parser.add_argument("--cause", action="append", help="only kinds that are best described by these")
    parser.add_argument("--kind", action="append", help="only these kinds")
    parser.add_argument("--stdlib", action="store_true", help="only kinds that need nothing but Python")
    return parser.parse_args()


def schedule(options):
    """(kind, seconds) in random order, 1.5 to 2.5 times the threshold."""
    chance = random.Random(options.seed)
    plan = []
    for kind in kinds.KINDS:
        if options.cause and kind.causes[0] not in options.cause or options.kind and kind.kind not in options.kind:
            continue
        if kind.playable() and (kind.stdlib or not options.stdlib):
            plan += [(kind, chance.uniform(1.5, 2.5) * options.threshold) for _ in range(options.times)]
    chance.shuffle(plan)
    return plan


async def play(options):
    plan = schedule(options)
    asyncio.current_task().set_name(TASK)
    gc.disable()  # it runs where a kind wants it to
    turn.drop()
    log = Log()
    tell({"event": "ready"})
    while not told_to_go():
        await asyncio.sleep(QUIET)
    for kind, seconds in plan:
        while kind.exclusive and not turn.take():
            await asyncio.sleep(QUIET)
        made = log.prepare(kind, seconds)
        await asyncio.sleep(2 * QUIET)
        result = kind.function(seconds, *made)
        if inspect.isawaitable(result):
            await result
        await asyncio.sleep(QUIET)
        turn.drop()
        entry = record.take(kind.kind, kind.causes)
        entry["task"] = TASK
        entry.update(kind.facts)
        entry.update(kinds.said())
        kinds.tidy()
        log.write(entry, seconds)
    await asyncio.sleep(LINGER)
    now = record.clock()
    log.write({"event": "done", "start_ns": now, "end_ns": now}, 0)


def main():
    options = arguments()
    os.set_blocking(0, False)
    try:
        LOOPS[options.loop](lambda _sleep, _together: play(options))
    except ImportError as missing:
        tell({"event": "absent", "missing": str(missing)})


if __name__ == "__main__":
    main()
