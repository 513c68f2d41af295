import time
from urllib.request import urlopen

import planted
from aiohttp import web


@web.middleware
async def audit(request, handler):
    if request.path == "/audit":
        begun = planted.begin()
        urlopen(planted.SLOW).read()
        planted.end(begun, "net")
    return await handler(request)


async def index(request):
    return web.Response(text="hello")


async def nap(request):
    begun = planted.begin()
    time.sleep(planted.SECONDS)
    planted.end(begun, "sleep")
    return web.Response(text="1")


def make_app(argv=None):
    app = web.Application(middlewares=[audit])
    app.router.add_get("/", index)
    app.router.add_get("/audit", index)
    app.router.add_get("/nap", nap)
    return app
