import ctypes
import time

import planted
from flask import Flask, request

app = Flask(__name__)
libc = ctypes.CDLL(None)


@app.before_request
def throttle():
    if request.path == "/throttled":
        begun = planted.begin()
        libc.usleep(int(planted.SECONDS * 1e6))
        planted.end(begun, "sleep")


@app.get("/")
@app.get("/throttled")
def index():
    return "hello"


@app.get("/sum")
def total():
    begun = planted.begin()
    end = time.thread_time() + planted.SECONDS
    while time.thread_time() < end:
        for n in range(10000): n * n
    planted.end(begun, "cpu")
    return "1"
