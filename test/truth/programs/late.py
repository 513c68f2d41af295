"""An asyncio server that does almost nothing and is kept from running in its wait, in one of several ways.

    late.py WAY SECONDS

Prints "ready", waits for its standard input to end, and then prints one JSON object for each answer that a client waited
for, as the client saw it, and for each timer that was late; "done" is the last. Where nobody asks, there are none.
"run_delay_ns" of an answer is for how long the client itself waited for a CPU meanwhile.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
import time

from record import clock, run_delay

AWAY, BACK = 0.4, 0.25  # the server is stopped, and let go on
WORTH_TELLING = 20e6
HOGS = 6
QUOTA = os.environ.get("TRUTH_QUOTA", "")  # a cgroup with a CPU quota
FREEZERS = os.environ.get("TRUTH_FREEZERS", "")  # a cgroup to be frozen


def tell(**entry):
    os.write(1, (json.dumps(entry) + "\n").encode())


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def start(function, *args):
    """A process of its own for what keeps the server from running, and for the clients."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            function(*args)
            code = 0
        finally:
            os._exit(code)
    return pid


# What keeps it from running. Each takes the server's process and the time to end.


def alternate(stop, go_on):
    def run(server, end):
        while clock() < end:
            time.sleep(BACK)
            stop(server)
            time.sleep(AWAY)
            go_on(server)

    return run


def hog(end):
    while clock() < end:
        pass


def crowd(server, end):
    """Everybody on one CPU, and the server with the least to say."""
    cpu = {min(os.sched_getaffinity(0))}
    os.sched_setaffinity(server, cpu)
    os.setpriority(os.PRIO_PROCESS, server, 19)
    os.sched_setaffinity(0, cpu)
    os.nice(-5)
    for _ in range(HOGS):
        start(hog, end)


def quota(server, end):
    procs = os.path.join(QUOTA, "cgroup.procs")
    write(procs, str(server))
    for _ in range(HOGS):
        write(procs, str(start(hog, end)))


class Freezer:
    def __init__(self):
        self.file = os.path.join(FREEZERS, "freezer.state")
        self.words = ("FROZEN", "THAWED")
        if not os.path.exists(self.file):
            self.file, self.words = os.path.join(FREEZERS, "cgroup.freeze"), ("1", "0")
        self.joined = False

    def freeze(self, server):
        if not self.joined:
            write(os.path.join(FREEZERS, "cgroup.procs"), str(server))
            self.joined = True
        write(self.file, self.words[0])

    def thaw(self, _server):
        write(self.file, self.words[1])


SEIZE, INTERRUPT, DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000


def ptrace(request, pid):
    call = ctypes.CDLL(None, use_errno=True).ptrace
    call.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if call(request, pid, None, None):
        raise OSError(ctypes.get_errno(), "ptrace")


def trace(server):
    ptrace(SEIZE, server)
    ptrace(INTERRUPT, server)
    os.waitpid(server, WALL)


def stop(server):
    os.kill(server, signal.SIGSTOP)


def go_on(server):
    os.kill(server, signal.SIGCONT)


freezer = Freezer()
signals = alternate(stop, go_on)
# What keeps it from running, by what causes, how many clients ask, and whether it has timers.
WAYS = {
    "crowd": (crowd, ["runqueue"], 1, False),
    "quota": (quota, ["throttled", "runqueue"], 1, False),
    "signal": (signals, ["stopped", "runqueue"], 1, False),
    "tracer": (alternate(trace, lambda server: ptrace(DETACH, server)), ["stopped", "runqueue"], 1, False),
    "freezer": (alternate(freezer.freeze, freezer.thaw), ["stopped", "runqueue"], 1, False),
    "timer": (signals, ["stopped", "runqueue"], 0, True),
    "nobody": (signals, [], 0, False),
}


def ask(port, kind, causes, end):
    os.nice(-10)
    s = socket.create_connection(("127.0.0.1", port))
    while clock() < end:
        delay, begin = run_delay(), clock()
        s.send(b"x")
        s.recv(1)
        now, delay = clock(), run_delay() - delay
        if now - begin > WORTH_TELLING:
            tell(kind=kind, causes=causes, start_ns=begin, end_ns=now, run_delay_ns=delay, nobody=True)
        time.sleep(0.03)
    time.sleep(2 * AWAY)  # hanging up is an event, too: nothing is to keep the server from running then


def answering(clients, left):
    there = set(range(clients))

    async def answer(reader, writer):
        while await reader.read(1):
            writer.write(b"x")
            await writer.drain()
        there.pop()
        if not there:
            left.set()

    return answer


async def remind(kind, causes, end):
    while clock() < end:
        due = clock() + 150e6
        await asyncio.sleep(0.15)
        now = clock()
        if now - due > WORTH_TELLING:
            tell(kind=kind, causes=causes, start_ns=int(due), end_ns=now, nobody=True)


async def serve(listener, kind, causes, clients, timers, end):
    left = asyncio.Event()
    server = await asyncio.start_server(answering(clients, left), sock=listener)
    done = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, done.set)
    tell(event="ready")
    await done.wait()
    asyncio.get_running_loop().remove_reader(0)
    os.close(begin)  # the others start
    if timers:
        await remind(kind, causes, clock() + end * 1e9)
    elif clients:
        await left.wait()  # one that had no CPU begins late
    else:
        await asyncio.sleep(end)
    server.close()


kind, seconds = sys.argv[1], float(sys.argv[2])
way, causes, clients, timers = WAYS[kind]
if kind == "tracer":
    with contextlib.suppress(OSError):
        ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1 & (1 << 64) - 1), 0, 0, 0)  # PR_SET_PTRACER_ANY
listener = socket.create_server(("127.0.0.1", 0))
port = listener.getsockname()[1]
started, begin = os.pipe()


def when_begun(function, *args):
    os.close(begin)
    os.read(started, 1)
    function(*args, clock() + int(seconds * 1e9))


children = [start(when_begun, way, os.getpid())]
for _ in range(clients):
    children.append(start(when_begun, ask, port, kind, causes))
asyncio.run(serve(listener, kind, causes, clients, timers, seconds + 1))
for pid in children:
    os.waitpid(pid, 0)
tell(event="done")
