# SPDX-License-Identifier: Apache-2.0
"""What it costs a program when the interpreter's own probes are hit.

Usage: hits.py KIND WHERE SECONDS. KIND is gc, import, audit or allocate; WHERE is "loop", in a
callback of an event loop, or "thread", in a thread that has none. Prints "ready", then answers
each line with the nanoseconds of CPU time an operation takes, those of the median batch within
SECONDS. Ends with its stdin.
"""
import asyncio
import concurrent.futures
import gc
import importlib.machinery
import json
import statistics
import sys
import time

kind, where, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])


class Finder:
    """Makes a module out of nothing: what an import costs at least."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        return importlib.machinery.ModuleSpec(name, Finder) if name == "hits_module" else None

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        pass


sys.meta_path.insert(0, Finder)
document = json.dumps([{"id": n, "tags": [n, n + 1], "at": {"x": n, "y": [n]}} for n in range(2000)])


def one_gc():
    gc.collect(0)


def one_import():
    sys.modules.pop("hits_module", None)
    __import__("hits_module")


def one_audit():
    sys.audit("hits.event", 1)


def one_allocate():  # some 8,000 containers: a dozen collections of the young
    json.loads(document)


operation, batch = {
    "gc": (one_gc, 1000), "import": (one_import, 100), "audit": (one_audit, 1000), "allocate": (one_allocate, 10),
}[kind]


def typical():
    batches, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.thread_time_ns()
        for _ in range(batch):
            operation()
        batches.append((time.thread_time_ns() - began) / batch)
    return statistics.median(batches)


async def main():
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    thread = concurrent.futures.ThreadPoolExecutor(1)

    async def answer():
        print(typical() if where == "loop" else await loop.run_in_executor(thread, typical), flush=True)

    def asked():
        if sys.stdin.readline():
            asyncio.ensure_future(answer())
        else:
            loop.remove_reader(sys.stdin)
            ended.set()

    loop.add_reader(sys.stdin, asked)
    print("ready", flush=True)
    await ended.wait()


gc.collect()
gc.freeze()  # a collection shall find nothing to do
if kind != "allocate":
    gc.disable()
asyncio.run(main())
