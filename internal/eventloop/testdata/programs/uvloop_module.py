# No frame of a loop stands on this stack at all.
import asyncio

import uvloop


async def main():
    watch = Watch("idle bare")
    while not watch.done:
        await asyncio.sleep(0.5)
    here("callback bare")


loop = uvloop.new_event_loop()
loop.run_until_complete(main())
