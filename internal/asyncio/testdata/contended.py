"""Tasks that wait, each for what its name says, and tasks that hold locks. Prints what is true: of each task that waits, by
name, what for, what it called, and which task holds that, if there is evidence. Then it stands still until stdin ends."""
import asyncio
import contextlib
import json
import socket
import sys
import threading

truth = {}
tasks = []
stop = threading.Event()


def start(name, coroutine, on, call=None, holder=None):
    task = asyncio.get_running_loop().create_task(coroutine)
    if hasattr(task, "set_name"):
        task.set_name(name)
    truth[name] = [on, call, holder]
    tasks.append(task)
    return task


async def forever():
    await asyncio.get_running_loop().create_future()


async def enters(lock):
    async with lock:
        await forever()


async def deep_inside(lock):
    for _ in range(3):
        with contextlib.suppress(KeyError):
            try:
                raise ValueError
            except ValueError:
                async with contextlib.AsyncExitStack():
                    values = [1, await enters(lock)]
                    return values


async def enters_two(one, other):
    async with one, other:
        await forever()


async def acquires(lock):
    await lock.acquire()
    await forever()


async def by_exit_stack(lock):
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(lock)
        await forever()


async def lets_go(lock):
    async with lock:
        lock.release()
        await forever()


async def in_finally(lock):
    try:
        pass
    finally:
        async with lock:
            await forever()


async def impostor(lock):
    leave = lock.__aexit__
    return [lock.release, lock.__aexit__, leave, await forever()]


async def yields_while_it_holds(lock):
    async with lock:
        yield 1


async def holds_by_a_generator(lock):
    async for _ in yields_while_it_holds(lock):
        await forever()


async def awaits_in_a_generator(lock):
    async def generates():
        async with lock:
            await forever()
            yield 1
    async for _ in generates():
        pass


class Own(asyncio.Lock):
    pass


async def calls(function, *args):
    await function(*args)


async def notified(condition):
    async with condition:
        await condition.wait()


async def waits_for_condition(condition):
    async with condition:
        await condition.wait_for(lambda: False)


async def notifies(condition):
    await asyncio.sleep(0)
    async with condition:
        condition.notify()
        await forever()


async def joins(*all):
    await asyncio.wait(all)


async def reads(port):
    reader, _ = await asyncio.open_connection("127.0.0.1", port)
    await reader.readline()


async def own_coroutine_gets(queue):
    await queue.get()


async def receives(sock):
    await asyncio.get_running_loop().sock_recv(sock, 1)


async def main():
    loop = asyncio.get_running_loop()
    for name, kind, keeps in [
        ("plain", asyncio.Lock, enters), ("deep", asyncio.Lock, deep_inside), ("own", Own, enters),
        ("finally", asyncio.Lock, in_finally), ("generator", asyncio.Lock, awaits_in_a_generator),
    ]:
        lock = kind()
        start(name, keeps(lock), "future")
        await asyncio.sleep(0)
        for i in range(3):
            start("%s/%d" % (name, i), enters(lock), "lock", "Lock.acquire", name)
        start(name + "/bare", acquires(lock), "lock", "Lock.acquire", name)
        start(name + "/impostor", impostor(lock), "future")
        gone = loop.create_task(enters(lock))
        await asyncio.sleep(0)
        gone.cancel()
    for name, keeps in [("acquires", acquires), ("stack", by_exit_stack), ("yields", holds_by_a_generator)]:
        lock = asyncio.Lock()
        start(name, keeps(lock), "future")
        await asyncio.sleep(0)
        start(name + "/0", enters(lock), "lock", "Lock.acquire")
        start(name + "/impostor", impostor(lock), "future")
    one, other = asyncio.Lock(), asyncio.Lock()
    start("two", enters_two(one, other), "future")
    await asyncio.sleep(0)
    start("two/one", enters(one), "lock", "Lock.acquire", "two")
    start("two/other", enters_two(other, one), "lock", "Lock.acquire", "two")
    lock = asyncio.Lock()
    start("lets go", lets_go(lock), "future")
    await asyncio.sleep(0)
    start("took it", acquires(lock), "future")
    a, b = asyncio.Lock(), asyncio.Lock()

    async def crossed(mine, yours):
        async with mine:
            await asyncio.sleep(0)
            await calls(enters, yours)
    start("circle/a", crossed(a, b), "lock", "Lock.acquire", "circle/b")
    start("circle/b", crossed(b, a), "lock", "Lock.acquire", "circle/a")

    for kind in (asyncio.Semaphore, asyncio.BoundedSemaphore):
        semaphore = kind(2)
        for i in range(4):
            start("%s/%d" % (kind.__name__, i), enters(semaphore), *(("future",) if i < 2 else ("semaphore", "Semaphore.acquire")))
        await asyncio.sleep(0)
    condition = asyncio.Condition()
    start("condition/0", notified(condition), "condition", "Condition.wait")
    start("condition/1", waits_for_condition(condition), "condition", "Condition.wait_for")
    await asyncio.sleep(0)
    start("condition/keeper", enters(condition), "future")
    await asyncio.sleep(0)
    start("condition/lock", enters(condition), "lock", "Lock.acquire", "condition/keeper")
    other = asyncio.Condition()
    start("notified", notified(other), "lock", "Lock.acquire", "notifies")
    start("notifies", notifies(other), "future")

    event = asyncio.Event()
    for i in range(2):
        start("event/%d" % i, calls(event.wait), "event", "Event.wait")
    empty, full = asyncio.Queue(), asyncio.LifoQueue(1)
    full.put_nowait(1)
    start("queue/get", calls(empty.get), "queue", "Queue.get")
    start("queue/pool", calls(calls, empty.get), "queue", "Queue.get")
    start("queue/own", own_coroutine_gets(empty), "queue", "Queue.get")
    start("queue/put", calls(full.put, 1), "queue", "Queue.put")
    start("queue/join", calls(full.join), "queue", "Queue.join")
    if hasattr(asyncio, "Barrier"):
        start("barrier", calls(asyncio.Barrier(2).wait), "barrier", "Barrier.wait")
    for i in range(2):
        start("executor/%d" % i, calls(loop.run_in_executor, None, stop.wait), "executor", "run_in_executor")
    if hasattr(asyncio, "to_thread"):
        start("to_thread", calls(asyncio.to_thread, stop.wait), "executor", "to_thread")
    awaited = start("awaited", forever(), "future")

    async def awaits(what):
        await what
    start("task", awaits(awaited), "task")
    start("gather", awaits(asyncio.gather(awaited)), "task", "gather")
    start("wait", joins(awaited), "task", "wait")
    if hasattr(asyncio, "TaskGroup"):
        async def groups():
            async with asyncio.TaskGroup() as group:
                task = group.create_task(forever())
                task.set_name("of the group")
                truth["of the group"] = ["future", None, None]
        start("group", groups(), "task", "TaskGroup")
    silent = socket.create_server(("127.0.0.1", 0))
    start("stream", reads(silent.getsockname()[1]), "stream", "readline")
    ours, _theirs = socket.socketpair()
    ours.setblocking(False)
    start("socket", receives(ours), "stream", "sock_recv")
    start("sleep", calls(asyncio.sleep, 3600), "sleep", "sleep")
    start("future", awaits(loop.create_future()), "future")
    truth["main"] = ["executor", "run_in_executor", None]
    if hasattr(asyncio.current_task(), "set_name"):
        asyncio.current_task().set_name("main")
    await asyncio.sleep(0.2)

    asleep = threading.Event()

    def say():
        loop.call_soon_threadsafe(asleep.set)
        asleep.wait()  # for the call below
        print(json.dumps([len(truth), truth]), flush=True)
        sys.stdin.read()
        stop.set()
    await loop.run_in_executor(None, say)
    print("stopped", flush=True)
    __import__("os")._exit(0)


asyncio.run(main())
