import ctypes

import planted
from django.utils.decorators import sync_and_async_middleware
import asyncio

libc = ctypes.CDLL(None)


def hold(request):
    if request.path == "/slow":
        begun = planted.begin()
        libc.usleep(int(planted.SECONDS * 1e6))
        planted.end(begun, "sleep")


@sync_and_async_middleware
def slow(get_response):
    if asyncio.iscoroutinefunction(get_response):
        async def middleware(request):
            hold(request)
            return await get_response(request)
    else:
        def middleware(request):
            hold(request)
            return get_response(request)
    return middleware
