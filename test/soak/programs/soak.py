"""What keeps loopwatch busy in a soak.

Usage: soak.py WHAT ARGUMENTS…. Programs that go on until their standard input ends print a line for each thing that they have
done: its name, or for a block of which the soak wants to know, a JSON list [start_ns, end_ns].
"""

import asyncio
import os
import select
import sys
import threading
import time

clock = time.monotonic_ns


def say(what):
    print(what, flush=True)


def told_to_end(seconds):
    """Waits for so long, or until the standard input ends."""
    return bool(select.select([0], [], [], max(seconds, 0))[0])


def hold(seconds):
    time.sleep(seconds)


def planted():
    time.sleep(0.5)


def deeply(seconds, depth=200):
    """With a stack that takes much room."""
    if depth:
        deeply(seconds, depth - 1)
    else:
        hold(seconds)


async def short(seconds="0"):
    """A loop that lives for a moment, and blocks in between."""
    await asyncio.sleep(0)
    if float(seconds):
        hold(float(seconds))
        await asyncio.sleep(0)


def paced(rate, do):
    """Calls do so many times a second, as far as the machine manages."""
    due = time.monotonic()
    while not told_to_end(due - time.monotonic()):
        do()
        due = max(due + 1 / float(rate), time.monotonic() - 1)


def fork(rate):
    """Forks processes with a loop: some rest, some block, some are killed in the middle of a block."""
    turn, living, doomed = 0, 0, []

    def one():
        nonlocal turn, living
        for pid, since in list(doomed):
            if time.monotonic() - since > 0.1:
                os.kill(pid, 9)
                doomed.remove((pid, since))
        while living and os.waitpid(-1, 0 if living >= 50 else os.WNOHANG)[0]:
            living -= 1
        turn += 1
        kind = ("rest", "block", "rest", "block", "killed")[turn % 5]
        pid = os.fork()
        if not pid:
            asyncio.run(short({"rest": 0, "block": 0.03, "killed": 5}[kind]))
            os._exit(0)
        living += 1
        if kind == "killed":
            doomed.append((pid, time.monotonic()))
        say(kind)

    paced(rate, one)
    for pid, _ in doomed:
        os.kill(pid, 9)
    while living:
        os.wait()
        living -= 1


def threads(rate):
    """Starts threads that run a loop each, beside that of the main thread."""

    def one():
        threading.Thread(target=lambda: asyncio.run(short(0.03)), daemon=True).start()
        say("thread")

    async def main():
        await asyncio.get_running_loop().run_in_executor(None, paced, rate, one)

    asyncio.run(main())


async def regularly(every, seconds):
    """Blocks every so often, and says when."""
    while not told_to_end(0):
        await asyncio.sleep(float(every))
        start = clock()
        hold(float(seconds))
        say([start, clock()])


async def rest():
    """Says that it is there, and turns its loop."""
    say("ready")
    while not told_to_end(0):
        await asyncio.sleep(0.05)


async def storm(seconds):
    """After a line on its standard input, blocks as often as it can, with deep stacks."""
    say("ready")
    while not told_to_end(0):
        await asyncio.sleep(0.02)
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        deeply(0.025)
        await asyncio.sleep(0.001)


async def plant():
    """Blocks once after a line on its standard input."""
    say("ready")
    while not told_to_end(0):
        await asyncio.sleep(0.01)
    sys.stdin.readline()
    start = clock()
    planted()
    say([start, clock()])
    await asyncio.sleep(0.01)
    sys.stdin.read()


def execute():
    """Has a thread that is not the main one become another program."""
    threading.Thread(target=os.execv, args=(sys.executable, [sys.executable, "-I", "-S", __file__, "short", "0.03"])).start()
    time.sleep(1000)


what, arguments = sys.argv[1], sys.argv[2:]
plain = {"fork": fork, "threads": threads, "execute": execute}
if what in plain:
    plain[what](*arguments)
else:
    asyncio.run({"short": short, "regularly": regularly, "rest": rest, "storm": storm, "plant": plant}[what](*arguments))
