# SPDX-License-Identifier: Apache-2.0
"""A loop that calls what Cython compiled: native.py SECONDS.

Writes a JSON line for each block: when it was, the line's function, and the function that Cython compiled.
"""
import asyncio
import importlib
import json
import os
import sys
import time

views = importlib.import_module("shop.views")
SECONDS = float(sys.argv[1])
FILE = os.path.basename(views.__file__)


def call_function(end): views.price_list(end)
def call_method(end): views.Page().render(end)
def call_type(end): views.Cart().total(end)
def call_nested(end): views.outer(end)
def call_generator(end): list(views.rows(end))


WAYS = {
    call_function: "shop.views.price_list",
    call_method: "shop.views.Page.render",
    call_type: "shop.views.Cart.total",
    call_nested: "shop.views.outer.nested",
    call_generator: "shop.views.rows",
}


async def main():
    await asyncio.sleep(0.3)
    for call, name in WAYS.items():
        start = time.monotonic_ns()
        call(time.monotonic() + SECONDS)
        said = dict(start_ns=start, end_ns=time.monotonic_ns(), function=call.__name__, native="%s %s" % (FILE, name), causes=["native"], pid=os.getpid())
        os.write(1, (json.dumps(said) + "\n").encode())
        await asyncio.sleep(0.1)


asyncio.run(main())
