import time
from urllib.request import urlopen

import planted
from quart import Quart, request, websocket

app = Quart(__name__)


@app.before_request
async def authenticate():
    if request.path == "/private":
        begun = planted.begin()
        urlopen(planted.SLOW).read()
        planted.end(begun, "net")


@app.get("/")
@app.get("/private")
async def index():
    return "hello"


@app.get("/nap")
async def nap():
    begun = planted.begin()
    time.sleep(planted.SECONDS)
    planted.end(begun, "sleep")
    return "1"


@app.websocket("/ws")
async def ws():
    while True:
        said = await websocket.receive()
        if said == "block":
            begun = planted.begin()
            time.sleep(planted.SECONDS)
            planted.end(begun, "sleep")
        await websocket.send(said)
