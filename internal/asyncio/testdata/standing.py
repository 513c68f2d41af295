"""Stands still in one task after the other, each time printing the name it should be seen with."""

import asyncio
import ctypes
import json
import sys
import threading


waits = None  # the task that stands waiting for another thread


def stand(kind, name):
    print(json.dumps([kind, name, waits]), flush=True)
    sys.stdin.readline()


def layout():
    """Size of a task, and where in it are its coroutine and what names it."""
    task = asyncio.current_task()
    name = "a name of its own"
    task.set_name(name)
    size = type(task).__basicsize__
    words = list((ctypes.c_uint64 * (size // 8)).from_address(id(task)))
    return [size, words.index(id(task.get_coro())) * 8, words.index(id(task.get_name())) * 8]


async def first():
    print(json.dumps(layout()), flush=True)
    sys.stdin.readline()


async def default(counter):
    stand("default", "Task-%d" % counter)


async def named(name):
    await asyncio.sleep(0)
    asyncio.current_task().set_name(name)
    stand("named", str(name))


async def deeper(depth, name):
    if depth:
        await asyncio.sleep(0)
        await deeper(depth - 1, name)
    else:
        stand("nested", name)


async def parent():
    await asyncio.get_running_loop().create_task(named("child"))
    stand("after its child", asyncio.current_task().get_name())


async def in_python():
    await asyncio.sleep(0)
    stand("in Python", None)


class Subclass(asyncio.Task):
    pass


def in_callback():
    loop = asyncio.new_event_loop()
    loop.call_soon(stand, "callback", None)
    loop.call_later(0.01, stand, "timer", None)
    loop.call_later(0.02, loop.stop)
    loop.run_forever()


def on_thread():
    loop = asyncio.new_event_loop()
    loop.run_until_complete(named("of another thread"))


async def main():
    loop = asyncio.get_running_loop()
    own = asyncio.current_task().get_name()
    await loop.create_task(default(int(own[len("Task-"):]) + 1))
    for name in ("größe", "x" * 1000, "☃" * 300, "\x1b[31m\n", "😀", 7):
        await loop.create_task(named(name))
    await asyncio.create_task(deeper(50, "deep"), name="deep")
    await parent()
    await Subclass(named("subclass"), loop=loop)
    await asyncio.tasks._PyTask(in_python(), loop=loop)
    if hasattr(asyncio, "eager_task_factory"):
        loop.set_task_factory(asyncio.eager_task_factory)
        await asyncio.create_task(named("eager"))
    global waits
    waits = own
    thread = threading.Thread(target=on_thread)
    thread.start()
    thread.join()
    waits = None


asyncio.run(first())
asyncio.run(main())
in_callback()
print(json.dumps(["end", None, None]), flush=True)
