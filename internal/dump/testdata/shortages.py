"""A loop whose tasks wait for one another, and pools that are too small: at rest, or blocked by the task that holds the lock.
shortages.py rest|blocked asyncio|uvloop. Prints one line of JSON with what is true, then stands."""
import asyncio
import concurrent.futures
import json
import multiprocessing
import os
import sys
import threading
import time

state, loop_kind = sys.argv[1:]
tasks = []
never = threading.Event()
truth = {"waits": [], "holders": {}, "deadlocks": [], "pools": {}}


def spawn(name, coroutine):
    task = asyncio.get_running_loop().create_task(coroutine)
    if hasattr(task, "set_name"):
        task.set_name(name)
    tasks.append(task)  # else the collector takes it
    return task


async def forever():
    await asyncio.get_running_loop().create_future()


async def wants(lock):
    async with lock:
        await forever()


async def keeps(lock):
    async with lock:
        await forever()


async def crosses(mine, yours):
    async with mine:
        await asyncio.sleep(0)
        await wants(yours)


async def selfish(lock):
    async with lock:
        await wants(lock)


async def hurried(mine, yours):
    async with mine:
        await asyncio.sleep(0)
        if sys.version_info >= (3, 11):
            async with asyncio.timeout(3600):
                await wants(yours)
        else:
            await asyncio.wait_for(wants(yours), 3600)


async def boss(lock):
    async with lock:
        await asyncio.sleep(0)
        await spawn("servant", wants(lock))


def crunch():
    never.wait()


def rest():
    pass


def outlive(parent):
    """What a process of the pool does: it ends with its parent, and keeps none of its files open."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    while os.getppid() == parent:
        time.sleep(0.05)
    os._exit(0)


async def shortages(loop):
    lock = asyncio.Lock()
    spawn("the-keeper", keeps(lock))
    await asyncio.sleep(0)
    for i in range(37):
        spawn("waiter-%d" % i, wants(lock))
    truth["waits"].append(["lock", 37, "wants", "the-keeper"])
    semaphore = asyncio.Semaphore(2)
    for i in range(7):
        spawn("sem-%d" % i, wants(semaphore))
    truth["waits"].append(["semaphore", 5, "wants", None])
    bare = asyncio.Lock()
    await bare.acquire()
    for i in range(9):
        spawn("bare-%d" % i, wants(bare))
    truth["waits"].append(["lock", 9, "wants", None])
    for n in (2, 5):
        ring = [asyncio.Lock() for _ in range(n)]
        for i in range(n):
            spawn("ring-%d-%d" % (n, i), crosses(ring[i], ring[(i + 1) % n]))
            truth["waits"].append(["lock", 1, "wants", "ring-%d-%d" % (n, (i + 1) % n)])
        truth["deadlocks"].append(sorted("ring-%d-%d" % (n, i) for i in range(n)))
    spawn("selfish", selfish(asyncio.Lock()))
    truth["deadlocks"].append(["selfish"])
    truth["waits"].append(["lock", 1, "wants", "selfish"])
    spawn("boss", boss(asyncio.Lock()))
    truth["deadlocks"].append(["boss", "servant"])
    truth["waits"].append(["lock", 1, "wants", "boss"])
    one, other = asyncio.Lock(), asyncio.Lock()
    spawn("hurried-0", hurried(one, other))
    spawn("hurried-1", hurried(other, one))
    for name in ("hurried-0", "hurried-1"):
        truth["waits"].append(["lock", 1, "wants", name])

    crunchers = concurrent.futures.ThreadPoolExecutor(4, thread_name_prefix="crunchers")
    for _ in range(54):
        crunchers.submit(crunch)
    truth["pools"]["crunchers"] = ["thread", False, 4, 4, 4, 50, "crunch"]
    resting = concurrent.futures.ThreadPoolExecutor(8, thread_name_prefix="resting")
    for done in [resting.submit(time.sleep, 0.2) for _ in range(3)]:
        done.result()
    truth["pools"]["resting"] = ["thread", False, 3, 8, 0, 0, None]
    held = threading.Lock()
    held.acquire()
    in_c = concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix="in_c")
    for _ in range(3):
        in_c.submit(held.acquire)
    truth["pools"]["in_c"] = ["thread", False, 2, 2, 2, 1, "_thread.lock.acquire"]
    for _ in range(3):
        loop.run_in_executor(None, crunch)
    prefixes = {thread.name.rpartition("_")[0] for thread in threading.enumerate()}
    name, = prefixes - {"", "crunchers", "resting", "in_c"}
    truth["pools"][name] = ["thread", loop_kind == "asyncio", 3, min(32, (os.cpu_count() or 1) + 4), 3, 0, "crunch"]
    if sys.version_info >= (3, 13):
        truth["pools"][name][3] = min(32, (os.process_cpu_count() or 1) + 4)
    truth["keep"] = [crunchers, resting, in_c, held]
    for i in range(120):
        handle = loop.call_later(3600 + i, rest)
        if i < 10:
            handle.cancel()
    truth["scheduled"] = 112  # with those of the hurried
    truth["ready"] = 0


def stand_still(processes):
    """Print what is true once the loop is about to rest, and processes have calls."""
    keep = truth.pop("keep")
    print(json.dumps(truth), flush=True)
    truth["keep"] = keep


async def main():
    loop = asyncio.get_running_loop()
    if hasattr(asyncio.current_task(), "set_name"):
        asyncio.current_task().set_name("main")
    if state == "rest":
        # Before there are threads.
        try:
            processes = concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork"))
            for _ in range(7):
                processes.submit(outlive, os.getpid())
            while len(processes._processes) < 2:
                await asyncio.sleep(0.01)
            truth["pools"]["ProcessPoolExecutor"] = ["process", False, 2, 2, 2, 5, None]
        except OSError:  # a tree without /dev/shm has no semaphores
            processes = None
        await shortages(loop)
        await asyncio.sleep(0.1)
        loop.call_soon(stand_still, processes)
        await forever()
    lock = asyncio.Lock()

    async def blocks():
        async with lock:
            await asyncio.sleep(0.1)
            for _ in range(25):
                loop.call_soon(rest)
            timer = loop.call_later(0.01, rest)
            truth["ready"] = 25
            truth["scheduled"] = 1
            truth["due"] = timer.when() if loop_kind == "asyncio" else 0  # an old uvloop does not say
            print(json.dumps(truth), flush=True)
            time.sleep(3600)
    spawn("the-blocker", blocks())
    await asyncio.sleep(0)
    for i in range(12):
        spawn("waiter-%d" % i, wants(lock))
    truth["waits"].append(["lock", 12, "wants", "the-blocker"])
    await forever()


if loop_kind == "uvloop":
    import uvloop
    uvloop.install()
asyncio.run(main())
