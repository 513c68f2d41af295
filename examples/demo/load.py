# SPDX-License-Identifier: Apache-2.0
"""Load for the demo: load.py APP_PORT. Customers on threads, until it is killed.

One of them goes through PATHS, one after the other. For each answer it prints the path, and when it asked
and when it had all of it, by the clock that loopwatch goes by (CLOCK_MONOTONIC, ns).
"""
import os
import sys
import threading
import time
import urllib.request

PATHS = ["/checkout", "/price", "/export"]  # app.py says which of its lines blocks at each


def get(path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}{path}", timeout=600) as answer:
            answer.read()
    except OSError as error:
        print(f"{path}: {error}", file=sys.stderr, flush=True)
        os._exit(1)  # from any thread


def check_health():
    while True:
        get("/health")
        time.sleep(0.05)


def go_shopping():
    while True:
        for path in PATHS:
            asked = time.monotonic_ns()
            get(path)
            print(path, asked, time.monotonic_ns(), flush=True)
            time.sleep(0.5)


for _ in range(2):
    threading.Thread(target=check_health, daemon=True).start()
go_shopping()
