import time

import planted
from fastapi import Depends, FastAPI

app = FastAPI()


async def current_user():
    begun = planted.begin()
    time.sleep(planted.SECONDS)
    planted.end(begun, "sleep")
    return "me"


@app.get("/")
async def index():
    return "hello"


@app.get("/me")
async def me(user: str = Depends(current_user)):
    return user


@app.get("/sum")
async def total():
    begun = planted.begin()
    end = time.thread_time() + planted.SECONDS
    while time.thread_time() < end:
        for n in range(10000): n * n
    planted.end(begun, "cpu")
    return 1
