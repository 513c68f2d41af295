import time

import planted
from django.utils.decorators import async_only_middleware


@async_only_middleware
def slow(get_response):
    async def middleware(request):
        if request.path == "/slow":
            begun = planted.begin()
            time.sleep(planted.SECONDS)
            planted.end(begun, "sleep")
        return await get_response(request)
    return middleware
