"""Keep an asyncio loop busy while events become ready, and tell how long each was ready before the loop's wait returned it.

lagging.py SECONDS: prints "ready", waits for its standard input to end, and prints one JSON object at the end. A child
writes the time into pipes of which the loop reads one end.
"""

import asyncio
import json
import os
import random
import signal
import struct
import sys
import time

clock = time.monotonic_ns
PIPES = 8
LEAST, MOST = 0.002, 0.02  # the loop is busy at a time
PAUSE = 0.006              # at most, between two events
stamp = struct.Struct("q")


def send(ends):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    chance = random.Random(1)
    while True:
        time.sleep(chance.uniform(0, PAUSE))
        os.write(chance.choice(ends), stamp.pack(clock()))


class Probe:
    """Stands between the loop and its wait."""

    def __init__(self, selector, ends):
        self.selector, self.ends, self.lags = selector, ends, []

    def __getattr__(self, name):
        return getattr(self.selector, name)

    def select(self, timeout=None):
        events = self.selector.select(timeout)
        now = clock()
        for key, _ in events:
            if key.fd in self.ends:
                # What came after the first is no event of its own.
                self.lags.append(now - stamp.unpack_from(os.read(key.fd, 1 << 16))[0])
        return events


async def main(seconds):
    chance = random.Random(2)
    until = clock() + int(seconds * 1e9)
    while clock() < until:
        time.sleep(chance.uniform(LEAST, MOST))
        await asyncio.sleep(0)


def run(seconds):
    loop = asyncio.new_event_loop()
    pipes = [os.pipe() for _ in range(PIPES)]
    loop._selector = probe = Probe(loop._selector, {r for r, _ in pipes})
    for r, _ in pipes:
        loop.add_reader(r, int)
    os.write(1, b'{"event": "ready"}\n')
    sys.stdin.buffer.read()
    child = os.fork()
    if child == 0:
        send([w for _, w in pipes])
    loop.run_until_complete(main(seconds))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.write(1, (json.dumps({"lags_ns": sorted(probe.lags)}) + "\n").encode())
    sys.stdin.close()
    time.sleep(0.5)


run(float(sys.argv[1]))
