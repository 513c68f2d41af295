import asyncio

import trio


async def inner():
    watch = Watch("nested")
    while not watch.done:
        await trio.sleep(0.5)


async def main():
    watch = Watch("idle")
    while not watch.done:
        await asyncio.sleep(0.5)
    trio.run(inner)


asyncio.run(main())
