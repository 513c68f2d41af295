import ctypes
import os
import time

import planted
from celery import Celery

app = Celery("shop", broker="filesystem://", broker_transport_options={"data_folder_in": os.environ["SHOP_QUEUE"], "data_folder_out": os.environ["SHOP_QUEUE"], "polling_interval": 0.1})
libc = ctypes.CDLL(None)


@app.task
def greet():
    pass


@app.task
def resize():
    begun = planted.begin()
    libc.usleep(int(planted.SECONDS * 1e6))
    planted.end(begun, "sleep")


@app.task
def total():
    begun = planted.begin()
    end = time.thread_time() + planted.SECONDS
    while time.thread_time() < end:
        for n in range(10000): n * n
    planted.end(begun, "cpu")
