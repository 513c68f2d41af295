import time

import planted
from django.http import HttpResponse
from django.template import Context, Template
from django.utils.safestring import mark_safe
import asyncio


class Rows:
    def total(self):
        begun = planted.begin()
        end = time.thread_time() + planted.SECONDS
        while time.thread_time() < end:
            for n in range(10000): n * n
        planted.end(begun, "cpu")
        return 1


if __import__("os").environ.get("DJANGO_ASYNC"):
    async def index(request):
        return HttpResponse("hello")

    async def report(request):
        from django.template import engines
        return HttpResponse(str(Rows().total()))
else:
    def index(request):
        return HttpResponse("hello")

    def report(request):
        return HttpResponse(str(Rows().total()))
