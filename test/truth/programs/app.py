"""An ASGI application that says which process it is, and blocks that one's loop on request."""

import os
import time


def blocking():
    time.sleep(0.25)


async def application(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] == "/block":
        blocking()
    body = str(os.getpid()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
