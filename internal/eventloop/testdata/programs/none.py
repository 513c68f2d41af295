# Waits of programs that have no event loop, with asyncio loaded all the same.
import asyncio
import concurrent.futures
import multiprocessing.connection
import os
import selectors
import socketserver
import subprocess
import sys
import threading

with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as server:
    watch = Watch("none")
    threading.Thread(target=lambda: [_sleep(0.05) for _ in iter(lambda: watch.done, True)] and server.shutdown()).start()
    server.serve_forever()

a, b = multiprocessing.Pipe()
watch = Watch("none")
while not watch.done:
    multiprocessing.connection.wait([a], 0.5)

watch = Watch("none")
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
while not watch.done:
    try:
        child.communicate(timeout=0.5)
    except subprocess.TimeoutExpired:
        pass
child.kill()

with concurrent.futures.ThreadPoolExecutor() as pool:
    watch = Watch("none")
    while not watch.done:
        concurrent.futures.wait([pool.submit(_sleep, 0.5)])

selector = selectors.DefaultSelector()
watch = Watch("none")
while not watch.done:
    selector.select(0.5)
nested("none")
