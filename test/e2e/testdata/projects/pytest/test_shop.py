import asyncio
import time

import planted
import pytest
from aiohttp import web


async def ready():
    while not planted.watched():
        await asyncio.sleep(0.05)


@pytest.mark.asyncio
async def test_nap():
    await ready()
    for _ in range(2):
        await asyncio.sleep(0.2)
        begun = planted.begin()
        time.sleep(planted.SECONDS)
        planted.end(begun, "sleep")


@pytest.fixture
def app():
    async def total(request):
        begun = planted.begin()
        end = time.thread_time() + planted.SECONDS
        while time.thread_time() < end:
            for n in range(10000): n * n
        planted.end(begun, "cpu")
        return web.Response(text="1")

    app = web.Application()
    app.router.add_get("/", total)
    return app


async def test_total(aiohttp_client, app):
    await ready()
    client = await aiohttp_client(app)
    for _ in range(2):
        await asyncio.sleep(0.2)
        assert await (await client.get("/")).text() == "1"
    await asyncio.sleep(0.5)
