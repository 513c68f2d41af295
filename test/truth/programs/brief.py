"""A short life, as jobs, command-line tools and test workers have it: as many event loops as asked for,
each in a thread of its own, block once in one of their first iterations, and the process ends.

Prints one JSON object a line for each block, as truth.py does.
"""

import argparse
import asyncio
import threading

from truth import Log
import kinds
import kinds_host
import kinds_peers
import kinds_threads
import kinds_work
import record
import turn


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=[kind.kind for kind in kinds.KINDS])
    parser.add_argument("--loops", type=int, default=1)
    parser.add_argument("--iteration", type=int, default=1, help="in which each loop blocks")
    parser.add_argument("--seconds", type=float, required=True, help="of each block")
    return parser.parse_args()


async def live(options, kind, log, made):
    for _ in range(1, options.iteration):
        await asyncio.sleep(0)
    kind.function(options.seconds, *made)
    entry = record.take(kind.kind, kind.causes)
    entry.update(kind.facts)
    await asyncio.sleep(0.001)
    log.write(entry, options.seconds)


def main():
    options = arguments()
    turn.drop()
    kind = next(kind for kind in kinds.KINDS if kind.kind == options.kind)
    lives = []
    for _ in range(options.loops):
        log = Log()
        lives.append((options, kind, log, log.prepare(kind, options.seconds)))
    threads = [threading.Thread(target=lambda life=life: asyncio.run(live(*life))) for life in lives[1:]]
    for thread in threads:
        thread.start()
    asyncio.run(live(*lives[0]))
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
