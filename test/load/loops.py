"""Many event loops that iterate at a steady rate: PROCESSES THREADS RATE, the rate in iterations a
second of each loop. Prints "ready" when all of them run, and ends with its standard input."""

import asyncio
import os
import signal
import sys
import threading


async def tick(rate, ready):
    ready()
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        due = max(due + 1 / rate, loop.time())
        await asyncio.sleep(due - loop.time())


def process(threads, rate, ready):
    for _ in range(threads - 1):
        threading.Thread(target=lambda: asyncio.run(tick(rate, ready)), daemon=True).start()
    asyncio.run(tick(rate, ready))


def main():
    processes, threads, rate = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    ours, theirs = os.pipe()
    children = []
    try:
        for _ in range(processes):
            child = os.fork()
            if child == 0:
                os.close(0)
                process(threads, rate, lambda: os.write(theirs, b"x"))
            children.append(child)
        missing = processes * threads
        while missing:
            missing -= len(os.read(ours, missing))
        os.write(1, b"ready\n")
        os.read(0, 1)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)


if __name__ == "__main__":
    main()
