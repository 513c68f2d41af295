"""Block an asyncio loop while others wait for it, and tell how many did, and since when.

Prints "ready", waits for its standard input to end, and prints one JSON object for each block.
"""

import asyncio
import json
import os
import socket
import threading
import time

clock = time.monotonic_ns
CLIENTS = 5
QUIET = 0.05
LATE = 0.1  # after the beginning of the block


def tell(entry):
    os.write(1, (json.dumps(entry) + "\n").encode())


class Clients:
    def __init__(self, loop):
        self.pairs = [socket.socketpair() for _ in range(CLIENTS)]
        self.first = None
        for ours, theirs in self.pairs:
            ours.setblocking(False)
            loop.add_reader(ours, ours.recv, 1 << 20)

    def nobody(self):
        return 0

    def everybody(self):
        time.sleep(LATE)
        for _, theirs in self.pairs:
            self.wake(theirs)

    def wake(self, theirs):
        before = clock()
        theirs.send(b"x")
        self.first = self.first or (before, clock())

    def one_after_the_other(self):
        for _, theirs in self.pairs:
            time.sleep(LATE / 2)
            self.wake(theirs)

    def room_to_write(self):
        """Nobody asked for that: the loop only reads."""
        time.sleep(LATE)
        for _, theirs in self.pairs:
            theirs.recv(1 << 20)

    def fill(self):
        for ours, _ in self.pairs:
            try:
                while True:
                    ours.send(b"x" * 65536)
            except BlockingIOError:
                pass


def block(seconds):
    time.sleep(seconds)


async def main(loop):
    clients = Clients(loop)
    tell({"event": "ready"})
    while True:
        try:
            if os.read(0, 1) == b"":
                break
        except BlockingIOError:
            await asyncio.sleep(QUIET)
    for kind, events in (
        (clients.nobody, 0),
        (clients.everybody, CLIENTS),
        (clients.one_after_the_other, CLIENTS),
        (clients.room_to_write, 0),
        (clients.everybody, CLIENTS),
    ):
        clients.first = None
        if kind == clients.room_to_write:
            clients.fill()
        await asyncio.sleep(QUIET)
        others = threading.Thread(target=kind)
        entry = {"kind": kind.__name__, "events": events, "start_ns": clock()}
        others.start()
        block(0.4)
        entry["end_ns"] = clock()
        others.join()
        await asyncio.sleep(QUIET)
        entry["first_ns"] = clients.first
        tell(entry)
    await asyncio.sleep(0.3)
    tell({"event": "done"})


os.set_blocking(0, False)
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
loop.run_until_complete(main(loop))
