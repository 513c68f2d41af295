"""An event loop whose own file lies on a file system that may hang.

Prints "ready" once the loop runs. After each line on its standard input the loop blocks by hold, and prints "done".
"""

import asyncio
import sys
import threading
import time


def hold():
    time.sleep(0.3)


async def main():
    loop = asyncio.get_running_loop()
    lines = asyncio.Queue()

    def listen():
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)

    threading.Thread(target=listen, daemon=True).start()
    print("ready", flush=True)
    while True:
        await lines.get()
        await asyncio.sleep(0.01)
        hold()
        await asyncio.sleep(0.01)
        print("done", flush=True)


asyncio.run(main())
