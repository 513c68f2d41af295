# Trio as a guest of asyncio waits in a thread: the loop to watch is the host's.
import asyncio

import trio


async def guest():
    watch = Watch("idle")
    while not watch.done:
        await trio.sleep(0.5)
    here("callback")
    nested("nested")


async def host():
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    trio.lowlevel.start_guest_run(
        guest,
        run_sync_soon_threadsafe=loop.call_soon_threadsafe,
        done_callback=lambda _: done.set(),
    )
    await done.wait()


asyncio.run(host())
here("after")
