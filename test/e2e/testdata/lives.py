"""A loop that goes on though the thread that began its process does not.

Usage: lives.py leader|exec. The main thread ends (leader), or is replaced by another thread that calls exec (exec). Prints
"ready" when the loop runs. After a line on its standard input the loop blocks by hold, prints "done", and goes on until the
program is killed.
"""

import asyncio
import ctypes
import os
import platform
import sys
import threading
import time

EXIT_THREAD = {"x86_64": 60, "aarch64": 93}[platform.machine()]


def hold():
    time.sleep(0.3)


async def main():
    print("ready", flush=True)
    told = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), told.set()), daemon=True).start()
    while not told.is_set():
        await asyncio.sleep(0.01)
    hold()
    await asyncio.sleep(0.01)
    print("done", flush=True)
    await asyncio.sleep(1000)


def run():
    asyncio.run(main())


if sys.argv[1] == "run":
    run()
elif sys.argv[1] == "leader":
    threading.Thread(target=run).start()
    # The system call itself: pthread_exit would unwind the stack.
    ctypes.CDLL(None).syscall(EXIT_THREAD, 0)
else:
    threading.Thread(target=os.execv, args=(sys.executable, [sys.executable, __file__, "run"])).start()
    time.sleep(1000)
