# SPDX-License-Identifier: Apache-2.0
"""A small web shop on aiohttp that makes three mistakes, each marked "blocks the loop".

Usage: app.py BACKEND_PORT. Prints the port it listens on.
"""
import json
import socket
import sys
import time
import urllib.request

from aiohttp import web

BACKEND = f"http://127.0.0.1:{sys.argv[1]}/price"
ORDERS = [{"id": i, "items": [{"sku": f"sku-{j}", "count": j, "price": j * 1.19} for j in range(20)]} for i in range(5000)]


def wait_for_slot():
    """Somebody's idea of a rate limit, written for threads and reused here."""
    time.sleep(0.15)  # blocks the loop


async def checkout(request):
    wait_for_slot()
    return web.Response(text="thank you\n")


class PriceView(web.View):
    async def get(self):
        price = fetch_price()
        return web.Response(text=price)


def fetch_price():
    with urllib.request.urlopen(BACKEND) as answer:  # blocks the loop
        return answer.read().decode()


async def export_orders(request):
    text = json.dumps(ORDERS)  # blocks the loop
    return web.Response(text=text[:100], content_type="application/json")


async def health(request):
    return web.Response(text="ok\n")


def main():
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
