import sys
import time

import planted
import socketio
from aiohttp import web

sio = socketio.AsyncServer(async_mode="aiohttp")
app = web.Application()
sio.attach(app)


async def index(request):
    return web.Response(text="hello")


app.router.add_get("/", index)


@sio.event
async def connect(sid, environ):
    begun = planted.begin()
    time.sleep(planted.SECONDS)
    planted.end(begun, "sleep")

web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]))
