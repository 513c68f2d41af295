"""Loops that are not blocked, whatever it looks like from outside; named by the first argument.

Each prints "ready" once it has started up, which blocks by nature, and is at rest.
"""

import asyncio
import hashlib
import inspect
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor


def ready():
    os.write(1, b"ready\n")


async def at_rest():
    """Let the loop wait a few times, then say that it is at rest."""
    for _ in range(3):
        await asyncio.sleep(0.02)
    ready()


async def idle_server():
    async def echo(reader, writer):
        while True:
            data = await reader.read(1024)
            if not data:
                break
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await at_rest()
    while True:
        writer.write(b"hello")
        await reader.read(1024)
        await asyncio.sleep(0.2)


async def busy_with_nothing():
    await at_rest()
    while True:
        await asyncio.sleep(0)


def sleep_long():
    time.sleep(0.5)


def hash_long():
    hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 100000)


async def work_in_threads(*work):
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(4) as pool:
        await asyncio.gather(*(loop.run_in_executor(pool, one) for one in work))
        await at_rest()
        while True:
            await asyncio.gather(*(loop.run_in_executor(pool, one) for one in work))


async def sleeping_threads():
    await work_in_threads(sleep_long, sleep_long, sleep_long)


async def hashing_thread():
    await work_in_threads(hash_long)


async def idle_beside_blocked_threads():
    ours, _theirs = os.pipe()
    lock = threading.Lock()
    lock.acquire()
    for target, args in ((time.sleep, (3600,)), (os.read, (ours, 1)), (lock.acquire, ())):
        threading.Thread(target=target, args=args, daemon=True).start()
    await at_rest()
    while True:
        await asyncio.sleep(0.05)


def loop_ended():
    """The loop is over; what its thread does then is nobody's business."""

    async def short():
        await at_rest()
        for _ in range(60):
            await asyncio.sleep(0.05)

    asyncio.run(short())
    time.sleep(3600)


def process_ends():
    async def short():
        await at_rest()
        for _ in range(60):
            await asyncio.sleep(0.05)

    asyncio.run(short())


def gevent_at_rest():
    import gevent

    gevent.spawn_later(0.05, ready)
    gevent.sleep(3600)


def eventlet_without_descriptors():
    import eventlet

    eventlet.spawn_after(0.05, ready)
    eventlet.sleep(3600)


def eventlet_at_rest():
    import eventlet

    eventlet.spawn_after(0.05, ready)
    eventlet.listen(("127.0.0.1", 0)).accept()


def zeromq():
    import zmq

    context = zmq.Context(io_threads=2)
    ours, theirs = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    port = ours.bind_to_random_port("tcp://127.0.0.1")
    theirs.connect("tcp://127.0.0.1:%d" % port)
    theirs.send(b"x")
    ours.recv()
    ready()
    while True:
        theirs.send(b"x")
        ours.recv()
        time.sleep(0.3)


def grpc():
    import grpc as library

    class Echo(library.GenericRpcHandler):
        def service(self, _details):
            return library.unary_unary_rpc_method_handler(lambda request, _context: request)

    server = library.server(ThreadPoolExecutor(2), handlers=[Echo()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    call = library.insecure_channel("127.0.0.1:%d" % port).unary_unary("/echo/echo")
    call(b"x", wait_for_ready=True)  # a machine may be busy
    ready()
    while True:
        call(b"x", wait_for_ready=True)
        time.sleep(0.3)


def main():
    program = globals()[sys.argv[1]]
    if inspect.iscoroutinefunction(program):
        # Python 3.6, which is only looked at, has no asyncio.run.
        run = asyncio.run if hasattr(asyncio, "run") else asyncio.get_event_loop().run_until_complete
        run(program())
    else:
        program()


if __name__ == "__main__":
    main()
