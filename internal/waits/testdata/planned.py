"""Tasks that wait planned amounts of time in planned places, and log when. The argument names the loop. Prints "ready", and once stdin ends what
it has logged: by place, which is a function, the times at which tasks began to wait there and went on, on CLOCK_MONOTONIC."""
import asyncio
import json
import random
import socket
import sys
import threading
import time

log = {}
late = []
stop = threading.Event()


class Waiting:
    """One wait in a place, from when the task comes there."""

    def __init__(self, place):
        self.entry = [time.monotonic_ns(), None]
        log.setdefault(place, []).append(self.entry)

    def over(self):
        self.entry[1] = time.monotonic_ns()


async def hold(lock):
    async with lock:
        await keep()


async def keep():
    waiting = Waiting("keep")
    await asyncio.get_running_loop().create_future()
    waiting.over()


async def get(lock):
    waiting = Waiting("get")
    async with lock:
        waiting.over()


async def nap(dice):
    while True:
        waiting = Waiting("nap")
        await asyncio.sleep(dice.uniform(0.3, 1.5))
        waiting.over()


async def connect(pool, dice):
    while True:
        waiting = Waiting("connect")
        async with pool:
            waiting.over()
            await use(dice)


async def use(dice):
    waiting = Waiting("use")
    await asyncio.sleep(dice.uniform(0.2, 0.6))
    waiting.over()


async def work(queue):
    while True:
        waiting = Waiting("work")
        await queue.get()
        waiting.over()


async def feed(queue, dice):
    while True:
        waiting = Waiting("feed")
        await asyncio.sleep(dice.uniform(0.1, 0.5))
        waiting.over()
        queue.put_nowait(None)


async def crunch(dice):
    while True:
        waiting = Waiting("crunch")
        await asyncio.get_running_loop().run_in_executor(None, time.sleep, dice.uniform(0.2, 0.9))
        waiting.over()


async def child(dice):
    waiting = Waiting("child")
    await asyncio.sleep(dice.uniform(0.5, 1.5))
    waiting.over()


async def parent(dice):
    while True:
        await asyncio.gather(*[child(dice) for _ in range(3)])


async def read(sock):
    reader, _writer = await asyncio.open_connection(sock=sock)
    waiting = Waiting("read")
    await reader.read()
    waiting.over()


async def measure():
    """How late this program runs by itself."""
    while True:
        due = time.monotonic_ns() + 20_000_000
        await asyncio.sleep(0.02)
        late.append(time.monotonic_ns() - due)


async def main():
    loop = asyncio.get_running_loop()
    lock, pool, queue = asyncio.Lock(), asyncio.Semaphore(3), asyncio.Queue()
    dice = [random.Random(n) for n in range(200)]
    keeper = loop.create_task(hold(lock))
    if hasattr(keeper, "set_name"):
        keeper.set_name("the-keeper")
    await asyncio.sleep(0)
    ours, _theirs = socket.socketpair()
    coroutines = [get(lock) for _ in range(37)] + [nap(dice[n]) for n in range(60)] + [connect(pool, dice[60 + n]) for n in range(12)]
    coroutines += [work(queue) for _ in range(8)] + [feed(queue, dice[80 + n]) for n in range(2)] + [crunch(dice[90 + n]) for n in range(3)]
    coroutines += [parent(dice[100 + n]) for n in range(10)] + [read(ours), measure()]
    tasks = [keeper] + [loop.create_task(c) for c in coroutines]
    await asyncio.sleep(0.1)
    print("ready", flush=True)
    threading.Thread(target=wait_for_end, args=(loop,), daemon=True).start()
    ended = loop.create_future()
    globals()["end"] = lambda: ended.set_result(None)
    await ended
    print(json.dumps({"places": log, "late": sum(late) // max(len(late), 1), "holder": "the-keeper" if hasattr(keeper, "get_name") else None}), flush=True)
    del tasks


def wait_for_end(loop):
    sys.stdin.read()
    loop.call_soon_threadsafe(lambda: end())


if sys.argv[1] == "uvloop":
    import uvloop
    uvloop.install()
asyncio.run(main())
