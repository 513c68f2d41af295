"""Many tasks, each in five coroutines, all waited for by one gather; a hundred await one task."""
import asyncio


async def rest(depth, until):
    if depth:
        await rest(depth - 1, until)
    else:
        await until


async def shared(task):
    await asyncio.shield(task)


async def main():
    until = asyncio.get_running_loop().create_future()
    one = asyncio.ensure_future(rest(0, until))
    several = [asyncio.ensure_future(shared(one)) for _ in range(100)]
    tasks = [asyncio.ensure_future(rest(4, until)) for _ in range(20_000)]
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.1, lambda: print("ready", flush=True))
    await asyncio.gather(*tasks, *several)


asyncio.run(main())
