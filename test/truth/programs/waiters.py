"""Block a loop while others wait for it, and tell who they are.

waiters.py LOOP DIRECTORY: runs asyncio, uvloop or gevent, prints "ready", waits for its standard input to end, and prints
one JSON object for each block. A thread of its own plans the blocks. The loop blocks in the callback of a pipe.
"""

import json
import os
import socket
import sys
import threading
import time

clock = time.monotonic_ns
LATE = 0.1  # after the beginning of the block
BLOCK = 0.4
QUIET = 0.2


def tell(entry):
    os.write(1, (json.dumps(entry) + "\n").encode())


class Asyncio:
    def __init__(self, name):
        if name == "uvloop":
            import uvloop as module
        else:
            import asyncio as module
        self.loop = module.new_event_loop()
        self.run = self.loop.run_forever
        self.read = self.loop.add_reader
        self.call = self.loop.call_soon_threadsafe
        self.stop = self.loop.stop

    def wake(self):
        self.call(int)

    def later(self, seconds):
        self.call(self.loop.call_later, seconds, int)


class Gevent:
    def __init__(self, name):
        import gevent.event

        self.hub = gevent.get_hub()
        self.watchers = []
        self.calls = []
        self.caller = self.hub.loop.async_()
        self.caller.start(self.answer)
        self.over = gevent.event.Event()
        self.run = self.over.wait

    def read(self, fd, callback, *args):
        watcher = self.hub.loop.io(fd if isinstance(fd, int) else fd.fileno(), 1)
        watcher.start(callback, *args)
        self.watchers.append(watcher)

    def answer(self):
        while self.calls:
            function, args = self.calls.pop(0)
            function(*args)

    def call(self, function, *args):
        self.calls.append((function, args))
        self.caller.send()

    def stop(self):
        self.over.set()

    def wake(self):
        self.call(int)

    def start_timer(self, seconds):
        timer = self.hub.loop.timer(seconds)
        timer.start(int)
        self.watchers.append(timer)

    def later(self, seconds):
        self.call(self.start_timer, seconds)


class Others:
    """Those that the loop serves."""

    def __init__(self, loop, directory):
        self.loop = loop
        self.keep = []
        self.tcp = self.connections(socket.AF_INET, ("127.0.0.1", 0), 5)
        self.tcp_name = "tcp %s:%d" % self.tcp[0][1].getpeername()
        path = os.path.join(directory, "app.sock")
        self.unix = self.connections(socket.AF_UNIX, path, 3)
        self.unix_name = "unix " + path
        # One that the program has connected itself: its address is that of its own end.
        ours, self.peer = self.connections(socket.AF_INET, ("127.0.0.1", 0), 1, served=False)[0]
        self.own_name = "tcp %s:%d" % ours.getsockname()
        self.pipes = [os.pipe() for _ in range(2)]
        for r, _ in self.pipes:
            loop.read(r, os.read, r, 1 << 16)
        self.pairs = [socket.socketpair() for _ in range(2)]
        for ours, _ in self.pairs:
            loop.read(ours, ours.recv, 1 << 16)
        self.eventfd = None
        if hasattr(os, "eventfd"):
            self.eventfd = os.eventfd(0)
            loop.read(self.eventfd, os.eventfd_read, self.eventfd)

    def connections(self, family, address, n, served=True):
        """Pairs of a socket that the loop reads and its peer."""
        listener = socket.socket(family)
        listener.bind(address)
        listener.listen()
        out = []
        for _ in range(n):
            theirs = socket.socket(family)
            theirs.connect(listener.getsockname())
            ours, _ = listener.accept()
            if not served:
                ours, theirs = theirs, ours
            self.loop.read(ours, ours.recv, 1 << 16)
            out.append((ours, theirs))
        self.keep.append(listener)
        return out

    def nobody(self):
        return {}

    def connected(self):
        for _, theirs in self.tcp:
            theirs.send(b"x")
        return {self.tcp_name: len(self.tcp)}

    def twice(self):
        """A socket that is ready twice is one that waits."""
        self.connected()
        return self.connected()

    def local(self):
        for _, theirs in self.unix:
            theirs.send(b"x")
        return {self.unix_name: len(self.unix)}

    def own(self):
        self.peer.send(b"x")
        return {self.own_name: 1}

    def piped(self):
        for _, w in self.pipes:
            os.write(w, b"x")
        return {"pipe": len(self.pipes)}

    def paired(self):
        for _, theirs in self.pairs:
            theirs.send(b"x")
        return {"socketpair": len(self.pairs)}

    def counted(self):
        if self.eventfd is None:
            return {}
        os.eventfd_write(self.eventfd, 1)
        return {"eventfd": 1}

    def woken(self):
        """libev writes to its descriptor only while its loop waits."""
        self.loop.wake()
        return {} if isinstance(self.loop, Gevent) else {"wakeup": 1}

    def timer(self):
        """The block begins before the timer is due, and ends after."""
        return {"timer": 1}

    def everybody(self):
        out = {}
        for kind in (self.connected, self.local, self.own, self.piped, self.paired, self.counted, self.woken):
            out.update(kind())
        return out


class Block:
    """Takes BLOCK or longer: until the others wait for it to end."""

    def __init__(self):
        self.begun, self.delays, self.over = threading.Event(), threading.Event(), threading.Event()

    def run(self, fd):
        os.read(fd, 1)
        self.start = clock()
        self.begun.set()
        time.sleep(BLOCK)
        while not self.delays.is_set():
            time.sleep(LATE)
        self.end = clock()
        self.over.set()


def plan(loop, others, trigger):
    r, w = trigger
    tell({"event": "ready"})
    sys.stdin.buffer.read()
    loop.wake()  # fentry does not see the end of a wait that had begun before
    for kind in (
        others.nobody, others.connected, others.twice, others.local, others.own, others.piped, others.paired,
        others.counted, others.woken, others.timer, others.everybody,
    ):
        time.sleep(QUIET)
        block.begun.clear()
        block.delays.clear()
        block.over.clear()
        if kind == others.timer:
            due = clock() + int((QUIET + LATE) * 1e9)
            loop.later(QUIET + LATE)
            time.sleep(QUIET)
        os.write(w, b"x")
        block.begun.wait()
        time.sleep(LATE)
        by = kind()
        block.delays.set()
        block.over.wait()
        if kind == others.timer and not block.start < due < block.end:
            by = None  # the program was too slow: nothing can be said
        time.sleep(QUIET)
        tell({"kind": kind.__name__, "by": by, "start_ns": block.start, "end_ns": block.end})
    tell({"event": "done"})
    loop.call(loop.stop)


block = Block()
loop = (Gevent if sys.argv[1] == "gevent" else Asyncio)(sys.argv[1])
others = Others(loop, sys.argv[2])
trigger = os.pipe()
loop.read(trigger[0], block.run, trigger[0])
threading.Thread(target=plan, args=(loop, others, trigger), daemon=True).start()
loop.run()
