# SPDX-License-Identifier: Apache-2.0
"""Many processes whose event loops are blocked all the time, for a short while each.

storm.py PROCESSES RATE SECONDS TIMES: each process blocks its loop TIMES times for SECONDS, RATE
times a second. Prints "ready" once all loops run, plays when its standard input ends, and prints
a line of JSON for each process: its number and [begin, end] of its blocks.
"""

import asyncio
import json
import os
import sys
import time


def block(seconds):
    begin = time.monotonic_ns()
    time.sleep(seconds)
    return begin, time.monotonic_ns()


def nested(depth, seconds):
    return nested(depth - 1, seconds) if depth else block(seconds)


async def play(place, rate, seconds, times, ready, go):
    loop = asyncio.get_running_loop()
    told = loop.create_future()
    loop.add_reader(go, told.set_result, None)
    loop.call_later(0.01, os.write, ready, b"x")
    await told
    loop.remove_reader(go)
    due = loop.time() + place / rate  # each at its own beat, or they would come in waves
    blocks = []
    parent = os.getppid()
    for _ in range(times):
        if os.getppid() != parent:
            os._exit(1)  # nobody wants to know any more
        await asyncio.sleep(max(due - loop.time(), 0.0005))
        blocks.append(nested(10, seconds))
        due += 1 / rate
    await asyncio.sleep(0.1)
    return blocks


def main():
    processes, rate, seconds, times = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    ready, go = os.pipe(), os.pipe()
    children = []
    for n in range(processes):
        report = os.pipe()
        if os.fork() == 0:
            os.close(0)
            os.close(go[1])
            blocks = asyncio.run(play(n / processes, rate, seconds, times, ready[1], go[0]))
            with open(report[1], "w") as out:
                json.dump({"pid": os.getpid(), "blocks": blocks}, out)
            os._exit(0)
        os.close(report[1])
        children.append(report[0])
    missing = processes
    while missing:
        missing -= len(os.read(ready[0], missing))
    os.write(1, b"ready\n")
    os.read(0, 1)
    os.close(go[1])
    for child in children:
        with open(child) as report:
            print(report.read(), flush=True)
    for _ in children:
        os.wait()


if __name__ == "__main__":
    main()
