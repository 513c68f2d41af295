"""Has tasks wait for one another in all ways there are, and prints them as asyncio itself sees them."""

import asyncio
import json
import sys
import threading
import types

never = None  # a future nobody resolves


async def leaf():
    await never


async def deep(depth):
    if depth:
        await deep(depth - 1)
    else:
        await leaf()


async def direct():
    await asyncio.ensure_future(named("direct/1", leaf()))


async def named(name, coro):
    asyncio.current_task().set_name(name)
    await coro


async def gathers():
    await asyncio.gather(named("gathers/1", leaf()), named("gathers/2", deep(3)))


async def nested_gathers():
    await asyncio.gather(
        asyncio.gather(named("nested/1", leaf()), named("nested/2", leaf())), named("nested/3", leaf()))


async def waits_for():
    await asyncio.wait_for(asyncio.ensure_future(named("waits_for/1", leaf())), 1000)


async def waits():
    await asyncio.wait([asyncio.ensure_future(named("waits/%d" % i, leaf())) for i in (1, 2)])


async def shields():
    await asyncio.shield(asyncio.ensure_future(named("shields/1", leaf())))


async def grouped():
    async with asyncio.TaskGroup() as group:
        group.create_task(named("grouped/1", leaf()))
        group.create_task(named("grouped/2", leaf()))


shared_task = None


async def shared():
    global shared_task
    if shared_task is None:
        shared_task = asyncio.ensure_future(named("shared", leaf()))
    await shared_task


async def generated():
    await leaf()
    yield 1


async def iterates():
    async for _ in generated():
        pass


@types.coroutine
def old_style():
    for item in (x for x in [1, 2]):  # a generator on the value stack while it yields
        yield from leaf().__await__()


async def bare():
    await asyncio.sleep(1000)


async def unstarted_body():
    pass


class Subclass(asyncio.Task):
    pass


def frames(coro):
    """The stack of a coroutine, outermost first, as it says itself."""
    out = []
    while coro is not None:
        for prefix in ("cr", "gi", "ag"):
            frame = getattr(coro, prefix + "_frame", None)
            if frame is not None:
                break
        else:
            if hasattr(coro, prefix + "_frame"):
                break
            inner = inside.get(id(coro))  # of what only wraps one
            if inner is None and type(coro).__name__ in ("async_generator_asend", "coroutine_wrapper"):
                import gc
                inner = next(x for x in gc.get_referents(coro) if hasattr(x, "ag_frame") or hasattr(x, "cr_frame"))
            coro = inner
            continue
        code = frame.f_code
        out.append([getattr(code, "co_qualname", code.co_name), code.co_filename, frame.f_lineno])
        coro = getattr(coro, prefix + "_await", None) if prefix != "gi" else coro.gi_yieldfrom
    return out


inside = {}


def tell(loop):
    tasks = asyncio.all_tasks(loop)
    answer = {t.get_name(): frames(t.get_coro()) for t in tasks}
    print(json.dumps([len(tasks), answer]), flush=True)
    sys.stdin.readline()
    loop.call_soon_threadsafe(loop.stop)


def main():
    global never
    if len(sys.argv) > 1 and sys.argv[1] == "uvloop":
        import uvloop
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    never = loop.create_future()

    def start(name, coro):
        task = loop.create_task(coro)
        task.set_name(name)
        tasks.append(task)

    tasks = []
    for f in direct, gathers, nested_gathers, waits_for, waits, shields, iterates, bare:
        start(f.__name__, f())
    if hasattr(asyncio, "TaskGroup"):
        start("grouped", grouped())
    start("shared/a", shared())
    start("shared/b", shared())
    start("deep", deep(100))
    start("old_style", named("old_style", old_style()))
    start("größe \x1b[31m", leaf())
    tasks.append(Subclass(named("subclass", leaf()), loop=loop))
    tasks.append(asyncio.tasks._PyTask(leaf(), loop=loop))
    tasks[-1].set_name("in Python")
    if hasattr(asyncio, "eager_task_factory"):
        async def eager():
            task = asyncio.Task(leaf(), loop=loop, eager_start=True)
            task.set_name("eager/1")
            await task
        start("eager", eager())
    done = loop.create_task(unstarted_body())
    loop.call_later(0.3, threading.Thread(target=tell, args=(loop,), daemon=True).start)
    loop.run_forever()


main()
