import time

import planted
from django.http import HttpResponse


class Rows:
    def total(self):
        begun = planted.begin()
        end = time.thread_time() + planted.SECONDS
        while time.thread_time() < end:
            for n in range(10000): n * n
        planted.end(begun, "cpu")
        return 1


async def index(request):
    return HttpResponse("hello")


async def report(request):
    return HttpResponse(str(Rows().total()))
