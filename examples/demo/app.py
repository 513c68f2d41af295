# SPDX-License-Identifier: Apache-2.0
"""A small web shop on aiohttp that makes three mistakes. Each is marked with who meets it and what it is.

Usage: app.py BACKEND_PORT. Prints the port it listens on.
"""
import json
import socket
import sys
import time
import urllib.request

from aiohttp import web
from orders import ORDERS, add_if_short, fill

BACKEND = f"http://127.0.0.1:{sys.argv[1]}/price"


def wait_for_slot():
    """Somebody's idea of a rate limit, written for threads and reused here."""
    time.sleep(0.15)  # /checkout blocks the loop: sleep


async def checkout(request):
    wait_for_slot()
    return web.Response(text="thank you\n")


class PriceView(web.View):
    async def get(self):
        price = fetch_price()
        return web.Response(text=price)


def fetch_price():
    with urllib.request.urlopen(BACKEND) as answer:  # /price blocks the loop: net
        return answer.read().decode()


async def export_orders(request):
    started = time.thread_time()
    text = json.dumps(ORDERS)  # /export blocks the loop: cpu or native
    add_if_short(time.thread_time() - started)
    return web.Response(text=text[:100], content_type="application/json")


async def health(request):
    return web.Response(text="ok\n")


def main():
    fill()
    app = web.Application()
    app.router.add_get("/checkout", checkout)
    app.router.add_view("/price", PriceView)
    app.router.add_get("/export", export_orders)
    app.router.add_get("/health", health)
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    web.run_app(app, sock=listener, print=None)


if __name__ == "__main__":
    main()
