import asyncio

import uvloop


async def main():
    watch = Watch("idle")
    while not watch.done:
        await asyncio.sleep(0.5)
    here("callback")
    nested("nested")


asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
try:
    asyncio.run(main())
except NotImplementedError:
    pass  # uvloop 0.14 cannot yet end the way Python 3.9 asks it to
