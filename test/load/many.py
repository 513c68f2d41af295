"""Many Python processes, each started anew with one event loop: COUNT [BURST PAUSE]. Each loop works for
BURST milliseconds of CPU time and pauses for PAUSE milliseconds, again and again; without them it only
waits. On C CPUs some COUNT - C * PAUSE / BURST of them want to run at a time. Prints "ready" when all of
them run; all end with its standard input."""

import os
import subprocess
import sys

STARTING = 8  # at a time

with open("/proc/self/cmdline", encoding="utf-8") as f:  # python -c SOURCE …
    SOURCE = f.read().split("\0")
SOURCE = SOURCE[SOURCE.index("-c") + 1]


def one(stop, ready, burst, pause):
    import asyncio
    import time

    async def main():
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(stop, ended.set)
        os.write(ready, b"x")
        os.close(ready)
        if burst:
            working = asyncio.create_task(work())
        await ended.wait()
        if burst:
            working.cancel()

    async def work():
        await asyncio.sleep(pause * (os.getpid() % 997) / 997)  # not all at once
        while True:
            until = time.thread_time() + burst
            while time.thread_time() < until:
                pass
            await asyncio.sleep(pause)

    asyncio.run(main())


def many(count, burst, pause):
    stop, stopping = os.pipe()  # closed by our end, however that comes
    ours, ready = os.pipe()
    children, started = [], 0
    for n in range(count):
        command = [sys.executable, "-S", "-c", SOURCE, "one", str(stop), str(ready), burst, pause]
        children.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=(stop, ready)))
        while n + 1 - started >= min(STARTING, count):
            started += len(os.read(ours, STARTING))
    while started < count:
        started += len(os.read(ours, STARTING))
    os.write(1, b"ready\n")
    os.read(0, 1)
    os.close(stopping)
    for child in children:
        child.wait()


if __name__ == "__main__":
    if sys.argv[1] == "one":
        one(int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]) / 1000, float(sys.argv[5]) / 1000)
    else:
        many(int(sys.argv[1]), *(sys.argv[2:] or ("0", "0")))
