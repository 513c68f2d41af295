# A wait made by the standard library's own selector, but as a callback: all frames are the
# loop's and yet it blocks.
import asyncio
import selectors

selector = selectors.DefaultSelector()


async def main():
    watch = Watch("nested")
    while not watch.done:
        asyncio.get_running_loop().call_soon(selector.select, 0.5)
        await asyncio.sleep(0)
        await asyncio.sleep(0)


asyncio.run(main())
