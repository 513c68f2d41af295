import asyncio
import sys
import time

import planted
import websockets


async def echo(ws):
    async for said in ws:
        if said == "block":
            begun = planted.begin()
            time.sleep(planted.SECONDS)
            planted.end(begun, "sleep")
        await ws.send(said)


async def main():
    async with websockets.serve(echo, "127.0.0.1", int(sys.argv[1])):
        await asyncio.Future()

asyncio.run(main())
