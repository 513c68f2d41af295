# nest_asyncio runs the same loop again inside a callback, and so it does rest there.
import asyncio

import nest_asyncio


async def inner():
    watch = Watch("idle")
    while not watch.done:
        await asyncio.sleep(0.5)
    here("callback")
    nested("nested")


async def main():
    watch = Watch("idle")
    while not watch.done:
        await asyncio.sleep(0.5)
    nest_asyncio.apply()
    asyncio.get_event_loop().run_until_complete(inner())


asyncio.run(main())
here("after")
asyncio.run(inner())
