"""Collections and imports in callbacks of an asyncio loop, timed by the program itself.

usage: probed.py ROUNDS SECONDS: five blocks in each round; the collector has to look through what takes it so
long, of a CPU's time.

Prints "ready", waits for the end of its stdin, then prints a JSON line for each block: what
gc.callbacks and the clock around an import saw, and how long the thread waited for a CPU
meanwhile by the kernel's account. Ends with {"kind": "done"}.
"""

import asyncio
import gc
import json
import os
import shutil
import sys
import tempfile
import time

PROC = 4  # the suite hands /proc down: a bare Debian tree has none mounted
ROUNDS, SECONDS = int(sys.argv[1]), float(sys.argv[2])
clock = time.monotonic_ns


def run_delay():
    schedstat = os.open("thread-self/schedstat", os.O_RDONLY, dir_fd=PROC)
    try:
        return int(os.read(schedstat, 100).split()[1])
    finally:
        os.close(schedstat)


pauses = []


def on_gc(phase, info):
    if phase == "start":
        pauses.append([clock(), 0, info["generation"], 0])
    else:
        pauses[-1][1] = clock()
        pauses[-1][3] = info["collected"]


def make_heap(size):
    heap = [[] for _ in range(size)]
    for one in heap:
        one.append(one)
    return heap


def heap_for(seconds):
    """Objects that take the collector so long to look at, or longer."""
    heap = make_heap(10000)
    while True:
        start = time.thread_time()
        gc.collect()
        if time.thread_time() - start >= seconds:
            return heap
        heap += make_heap(len(heap) // 2)


def block(kind, function, *args):
    """Run function as a block of its own and say what was seen."""
    pauses.clear()
    waited, began = run_delay(), clock()
    inner = function(*args)
    ended = clock()
    pauses_seen = [list(p) for p in pauses]
    print(json.dumps({
        "kind": kind, "start_ns": began, "end_ns": ended, "run_delay_ns": run_delay() - waited,
        "imports_ns": inner or [],
        "pauses_ns": [p[1] - p[0] for p in pauses_seen],
        "generations": [p[2] for p in pauses_seen],
        "collected": sum(p[3] for p in pauses_seen),
    }), flush=True)


def collect(times):
    """So many collections, and more where they take less of the CPU's time than they did."""
    until = time.thread_time() + SECONDS
    while times > 0 or time.thread_time() < until:
        gc.collect()
        times -= 1


def do_import(*names):
    spent = []
    for name in names:
        began = clock()
        __import__(name)
        spent.append(clock() - began)
    return spent


def write_modules(directory, n):
    """slow_N sleeps, computes and imports inner_N, which collects."""
    with open(os.path.join(directory, f"inner_{n}.py"), "w") as f:
        f.write("import gc, time\ngc.collect()\ntime.sleep(0.02)\n")
    with open(os.path.join(directory, f"slow_{n}.py"), "w") as f:
        f.write(f"import time\nimport inner_{n}\ntime.sleep(0.02)\nsum(range(400000))\n")
    with open(os.path.join(directory, f"quick_{n}.py"), "w") as f:
        f.write("x = 1\n")


async def main():
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(sys.stdin, ended.set)
    print("ready", flush=True)
    await ended.wait()
    loop.remove_reader(sys.stdin)
    await asyncio.sleep(0.1)
    for n in range(ROUNDS):
        for kind, function, *args in (
            ("gc", collect, 1, 0),
            ("gc", collect, 3, 0),
            ("gc", collect, 1, len(heap) // 2),
            ("import", do_import, f"slow_{n}"),
            ("import", do_import, f"quick_{n}", f"slow_{n}_again", f"quick_{n}_again"),
        ):
            if kind == "gc":
                make_heap(args.pop())  # garbage at once, and not the block's own work
                await asyncio.sleep(0.05)
            loop.call_soon(block, kind, function, *args)
            await asyncio.sleep(0.05)  # a block ends with its iteration
    print(json.dumps({"kind": "done"}), flush=True)


modules = tempfile.mkdtemp()
for n in range(ROUNDS):
    write_modules(modules, n)
    write_modules(modules, f"{n}_again")
sys.path.insert(0, modules)
gc.disable()  # collections happen where they are planned
heap = heap_for(SECONDS)
gc.callbacks.append(on_gc)
try:
    asyncio.run(main())
finally:
    shutil.rmtree(modules)
