# SPDX-License-Identifier: Apache-2.0
"""Names that change all the time, and are long.

usage: names.py ATTACK
"""

import asyncio
import ctypes
import os
import random
import sys
import threading
import time
import types

from common import LIBC, ready, run

EVIL = "e\x1b]0;pwned\x07\x1b[31m\x1b[2J\x1b[6n\r\n\x9b31m\u202e\u200b<script>pwned=1</script>'\"`$(reboot)\udcff"


def block(seconds):
    time.sleep(seconds)


def disguised(name):
    code = block.__code__.replace(co_name=name, co_filename="/srv/" + name + ".py", co_firstlineno=random.randrange(1, 1 << 20))
    if hasattr(code, "co_qualname"):
        code = code.replace(co_qualname=name)
    return types.FunctionType(code, globals())


def blocking():
    """Blocks, each of a kind that was not seen before, by code of megabytes of names, in tasks of megabytes of names."""
    LONG = EVIL * 40_000

    async def main():
        await asyncio.sleep(0.01)
        ready()
        number = 0
        while True:
            number += 1
            name = "%d%s" % (number, LONG)
            evil = disguised(name)

            async def task():
                evil(0.11)

            await asyncio.create_task(task(), name=name)
            await asyncio.sleep(0.001)

    asyncio.run(main())


def renaming(*_):
    """A process whose command line, name, threads and tasks are called otherwise each time one looks."""
    if len(sys.argv) < 4:
        os.execv(sys.executable, [sys.executable, *sys.argv[:2], "once more", *["x" * 100_000] * 10])
    with open("/proc/self/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    start, end = int(fields[45]), int(fields[46])

    def rename():
        n = 0
        while True:
            n += 1
            name = ("%d" % n + EVIL).encode("utf-8", "surrogateescape")
            LIBC.prctl(15, name[:15])
            text = (name + b"\0") * ((end - start) // (len(name) + 1))
            ctypes.memmove(start, text, len(text))
            time.sleep(0.001)

    threading.Thread(target=rename, daemon=True).start()

    async def main():
        await asyncio.sleep(0.01)
        ready()
        while True:
            await asyncio.create_task(asyncio.sleep(0.01), name=EVIL * random.randrange(10_000))
            time.sleep(0.11)

    asyncio.run(main())


run({"blocking": blocking, "renaming": renaming})
