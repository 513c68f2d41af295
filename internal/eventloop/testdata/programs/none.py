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

    def stop():
        while not watch.done:
            _sleep(0.05)
        server.shutdown()

    watch = Watch("none")
    threading.Thread(target=stop).start()
    server.serve_forever()

a, b = multiprocessing.Pipe()
watch = Watch("none")
while not watch.done:
    multiprocessing.connection.wait([a], 0.5)

watch = Watch("none")
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
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
