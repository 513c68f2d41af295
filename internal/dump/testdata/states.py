"""Brings a loop into the state that its argument names, and tells by its clock when it got there, and how long its
thread had waited for a CPU by then; descriptor 3, if open, is /proc."""

import asyncio
import os
import re
import socket
import subprocess
import sys
import threading
import time

TIMER = 1000


def run_delay():
    try:
        schedstat = os.open("thread-self/schedstat", os.O_RDONLY, dir_fd=3)
    except OSError:
        return 0
    with open(schedstat) as f:
        return f.read().split()[1]


def tell():
    print(time.monotonic_ns(), run_delay(), flush=True)


async def nothing():
    await asyncio.sleep(TIMER)


def idle(loop):
    loop.call_later(0.05, tell)


def sleep(loop):
    def stand():
        tell()
        time.sleep(TIMER)
    loop.call_later(0.05, stand)


def connected(loop, **options):
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    peer = socket.create_connection(listener.getsockname(), **options)

    def stand():
        print(listener.getsockname()[1], flush=True)
        tell()
        peer.recv(1)
    loop.call_later(0.05, stand)


def recv(loop):
    connected(loop)


def polled(loop):
    connected(loop, timeout=TIMER)


def fifo(loop):
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fifo")
    os.mkfifo(path)

    def stand():
        print(path, flush=True)
        tell()
        open(path)
    loop.call_later(0.05, stand)


def child(loop):
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)

    def stand():
        print(process.pid, flush=True)
        tell()
        process.wait()
    loop.call_later(0.05, stand)


def lock(loop):
    held = threading.Lock()
    held.acquire()

    def stand():
        tell()
        held.acquire()
    loop.call_later(0.05, stand)


def spin(loop):
    def stand():
        tell()
        n = 0
        while True:
            n += 1
    loop.call_later(0.05, stand)


def gil(loop):
    def hog():
        # The regular expression engine gives the GIL up for nobody.
        re.match(r"(a+)+$", "a" * 64 + "b")

    def stand():
        tell()
        threading.Thread(target=hog, name="the hog", daemon=True).start()
        time.sleep(0.01)
    loop.call_later(0.05, stand)


def in_task(loop):
    async def outer():
        await asyncio.sleep(0.05)
        await inner()

    async def inner():
        tell()
        time.sleep(TIMER)

    async def waits(task):
        await task
    task = loop.create_task(outer())
    loop.create_task(waits(task))
    if hasattr(task, "set_name"):
        task.set_name("outer task")


def main():
    if len(sys.argv) > 2 and sys.argv[2] == "uvloop":
        import uvloop
        loop = uvloop.new_event_loop()
    else:
        loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    def other():
        time.sleep(TIMER)
    threading.Thread(target=other, name="beside the loop", daemon=True).start()
    loop.create_task(nothing())
    globals()[sys.argv[1]](loop)
    loop.run_forever()


main()
