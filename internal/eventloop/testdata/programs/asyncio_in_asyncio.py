# A second loop run inside a callback of the first: the first one is blocked by it.
import asyncio


async def inner():
    watch = Watch("nested")
    while not watch.done:
        await asyncio.sleep(0.5)


async def main():
    watch = Watch("idle")
    while not watch.done:
        await asyncio.sleep(0.5)
    running, current = asyncio._get_running_loop(), asyncio.current_task()
    asyncio.tasks._leave_task(running, current)
    asyncio._set_running_loop(None)
    second = asyncio.new_event_loop()
    second.run_until_complete(inner())
    second.close()
    asyncio._set_running_loop(running)
    asyncio.tasks._enter_task(running, current)
    here("callback")


loop = asyncio.new_event_loop()
task = loop.create_task(main())
task.add_done_callback(lambda _: loop.stop())
loop.run_forever()
loop.close()
here("after")
