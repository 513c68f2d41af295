import asyncio


async def main():
    watch = Watch("idle")
    while not watch.done:
        await asyncio.sleep(0.5)
    here("callback")
    nested("nested")
    asyncio.get_running_loop().call_soon(nested, "nested in a plain callback")
    await asyncio.sleep(0)
    await asyncio.sleep(0)


asyncio.run(main())
here("after")
nested("nested after")
asyncio.run(main(), debug=True)
here("after")
