"""Block an event loop by one kind of causes.py, again and again with hardly a rest between, until
killed: whenever an observation begins, a block is under way. Prints "ready" and then one JSON object
a line for each block, as truth.py does.
"""

import argparse
import inspect
import sys

from truth import QUIET, Log, tell
import kinds
import kinds_files
import kinds_host
import kinds_peers
import kinds_threads
import kinds_work
import record
import turn
from loops import LOOPS


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("loop", choices=sorted(LOOPS))
    parser.add_argument("kind", choices=[kind.kind for kind in kinds.KINDS])
    parser.add_argument("--seconds", type=float, required=True, help="of each block")
    return parser.parse_args()


async def play(options, sleep):
    kind = next(kind for kind in kinds.KINDS if kind.kind == options.kind)
    turn.drop()
    log = Log()
    tell({"event": "ready"})
    while True:
        while kind.exclusive and not turn.take():
            await sleep(QUIET)
        made = log.prepare(kind, options.seconds)
        await sleep(QUIET)
        result = kind.function(options.seconds, *made)
        if inspect.isawaitable(result):
            await result
        entry = record.take(kind.kind, kind.causes)
        entry.update(kind.facts)
        entry.update(kinds.said())
        log.write(entry, options.seconds)
        turn.drop()
        await sleep(3 * QUIET)  # another's turn
        kinds.tidy()


def main():
    options = arguments()
    sys.setrecursionlimit(3000)
    try:
        LOOPS[options.loop](lambda sleep, _together: play(options, sleep))
    except ImportError as missing:
        tell({"event": "absent", "missing": str(missing)})


if __name__ == "__main__":
    main()
