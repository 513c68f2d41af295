import asyncio

import uvloop


async def main():
    watch = Watch("idle")
    while not watch.done:
        await asyncio.sleep(0.5)
    here("callback")
    nested("nested")


asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
asyncio.run(main())
