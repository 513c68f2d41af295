import sys
import time

import planted
import trio
from trio_websocket import ConnectionClosed, serve_websocket


async def echo(request):
    ws = await request.accept()
    try:
        while True:
            said = await ws.get_message()
            if said == "block":
                begun = planted.begin()
                time.sleep(planted.SECONDS)
                planted.end(begun, "sleep")
            await ws.send_message(said)
    except ConnectionClosed:
        pass

trio.run(serve_websocket, echo, "127.0.0.1", int(sys.argv[1]), None)
