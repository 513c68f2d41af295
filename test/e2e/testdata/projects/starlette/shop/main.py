import time
from urllib.request import urlopen

import planted
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route


class Audit(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        if request.url.path == "/audit":
            begun = planted.begin()
            time.sleep(planted.SECONDS)
            planted.end(begun, "sleep")
        return await call_next(request)


async def index(request):
    return PlainTextResponse("hello")


async def price(request):
    begun = planted.begin()
    urlopen(planted.SLOW).read()
    planted.end(begun, "net")
    return PlainTextResponse("1")


routes = [Route("/", index), Route("/audit", index), Route("/price", price)]
app = Starlette(routes=routes, middleware=[Middleware(Audit)])
