"""A FastAPI application with too few sessions: two, a lock around a cache, and functions that are not asynchronous."""
import asyncio
import threading

from fastapi import FastAPI

app = FastAPI()
never = threading.Event()


class Sessions:
    def __init__(self, size):
        self.free = asyncio.Queue()
        for i in range(size):
            self.free.put_nowait(i)

    async def acquire(self):
        return await self.free.get()


class State:
    sessions = lock = None


@app.on_event("startup")
async def prepare():
    State.sessions, State.lock = Sessions(2), asyncio.Lock()


async def query(session):
    await asyncio.sleep(3600)


@app.get("/users")
async def users():
    await query(await State.sessions.acquire())


@app.get("/cached")
async def cached():
    async with State.lock:
        await refresh()


async def refresh():
    await asyncio.sleep(3600)


@app.get("/report")
def report():
    never.wait()
