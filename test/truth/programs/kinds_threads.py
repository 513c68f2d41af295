"""Blocks by another thread of the process: locks, and the GIL."""

import asyncio
import concurrent.futures
import functools
import logging
import os
import queue
import re
import sys
import threading
import time

import helper
from blocks import subject_for
from kinds import kind, name_thread, say
from record import begin, clock, end

NAME = "hoarder"


def hoard(function, *arguments):
    """Run function in a thread that the log calls the holder, under a lock only if it takes one.
    Returns how to start it, and the thread."""
    go, there = threading.Event(), threading.Event()
    tid = []

    def run():
        name_thread(NAME)
        tid.append(threading.get_native_id())
        there.set()
        function(go, *arguments)

    thread = threading.Thread(target=run, name=NAME, daemon=True)
    thread.start()
    there.wait()
    say(holder={"tid": tid[0], "thread": NAME, "functions": [function.__name__]})
    return go, thread


def keep(go, seconds, lock, locked):
    with lock:
        locked.set()
        go.wait()
        time.sleep(seconds)


def kept(make):
    def prepare(seconds):
        lock, locked = make(), threading.Event()
        go, _ = hoard(keep, seconds, lock, locked)
        locked.wait()
        return go, lock

    return prepare


@kind("lock", prepare=kept(threading.Lock), advice=r"asyncio\.Lock")
def locking(_seconds, go, lock):
    begin()
    go.set()
    lock.acquire()
    end()
    lock.release()


@kind("lock", prepare=kept(threading.RLock))
def locking_with_time_limit(_seconds, go, lock):
    begin()
    go.set()
    lock.acquire(timeout=5)
    end()
    lock.release()


@kind("lock", prepare=kept(threading.Condition))
def entering_a_condition(_seconds, go, condition):
    begin()
    go.set()
    condition.acquire()
    end()
    condition.release()


def produce(go, seconds, items):
    go.wait()
    time.sleep(seconds)
    items.put(1)


def producer(seconds):
    items = queue.Queue()
    return hoard(produce, seconds, items)[0], items


@kind("lock", prepare=producer, advice=r"asyncio\.Queue")
def getting_from_a_queue(_seconds, go, items):
    begin()
    go.set()
    items.get()
    end()


@kind("lock", prepare=producer, advice=r"asyncio\.Queue")
def getting_with_time_limit(_seconds, go, items):
    begin()
    go.set()
    items.get(timeout=5)
    end()


def announce(go, seconds, event):
    go.wait()
    time.sleep(seconds)
    event.set()


def announcer(seconds):
    event = threading.Event()
    return hoard(announce, seconds, event)[0], event


@kind("lock", prepare=announcer, advice=r"asyncio\.Event")
def waiting_for_an_event(_seconds, go, event):
    begin()
    go.set()
    event.wait()
    end()


def deliver(go, seconds, future):
    go.wait()
    time.sleep(seconds)
    future.set_result(1)


def promise(seconds):
    future = concurrent.futures.Future()
    return hoard(deliver, seconds, future)[0], future


@kind("lock", prepare=promise, advice="wrap_future")
def asking_a_future(_seconds, go, future):
    begin()
    go.set()
    future.result()
    end()


def linger(go, seconds):
    go.wait()
    time.sleep(seconds)


def lingering(seconds):
    go, thread = hoard(linger, seconds)
    # A thread has no Python stack any more when it lets those go who wait for its end.
    say(holder={"tid": thread.native_id, "thread": NAME, "functions": []})
    return go, thread


@kind("lock", prepare=lingering, advice="join")
def joining_a_thread(_seconds, go, thread):
    begin()
    go.set()
    thread.join()
    end()


@kind("lock", advice="wait=False")
def leaving_an_executor(seconds):
    executor = concurrent.futures.ThreadPoolExecutor(1)
    executor.submit(time.sleep, seconds)
    begin()
    executor.shutdown()
    end()


def chatter(go, logger, started):
    started.set()
    logger.error("fills what is full")


def handler_in_use(seconds):
    go, ours, theirs = helper.full_pipe(seconds)
    logger = logging.getLogger("shared")
    logger.propagate = False
    logger.handlers = [logging.StreamHandler(open(ours, "w", buffering=1))]
    started = threading.Event()
    hoard(chatter, logger, started)
    started.wait()
    time.sleep(0.02)  # until it stands in the write
    return go, logger, theirs


@kind("lock", prepare=handler_in_use, advice="QueueHandler|lock")
def logging_beside_a_full_pipe(_seconds, go, logger, theirs):
    begin()
    go()
    logger.error("has to wait for the handler")
    end()
    logger.handlers[0].stream.close()
    os.close(theirs)


# The GIL. The loop's wait ends while another thread holds it.


STEP = 0.005


async def due_while_held(go, held):
    """Rest until another thread has held the GIL; it puts (start, end) of that into held. The block is
    the rest that ended the longest after its time: the wait was over, and the GIL did not come."""
    longest = (0, 0)
    go.set()
    while len(held) < 2:
        due = clock() + int(STEP * 1e9)
        await asyncio.sleep(STEP)
        back = clock()
        if held:
            longest = max(longest, (max(due, held[0]), back), key=lambda gap: gap[1] - gap[0])
    begin(at=longest[0])
    end(at=longest[1])


def hold_by_ctypes(go, seconds, held):
    import ctypes

    library = ctypes.PyDLL(None)
    go.wait()
    time.sleep(0.01)
    held.append(clock())
    library.usleep(int((seconds + 0.02) * 1e6))
    held.append(clock())


def hold_by_matching(go, seconds, held):
    (subject,) = subject_for(seconds + 0.02)
    go.wait()
    time.sleep(0.01)
    held.append(clock())
    re.search("a+b", subject)
    held.append(clock())


def hold_by_sorting(go, seconds, held):
    numbers = sample_to_sort(seconds + 0.02)
    go.wait()
    time.sleep(0.01)
    held.append(clock())
    numbers.sort()
    held.append(clock())


def hold_by_bytecode(go, seconds, held):
    go.wait()
    time.sleep(0.01)
    held.append(clock())
    stop = held[0] + (seconds + 0.02) * 1e9
    while clock() < stop:
        pass
    held.append(clock())


@functools.lru_cache(maxsize=None)
def random_numbers():
    import random

    chance = random.Random(1)
    return [chance.random() for _ in range(200000)]


@functools.lru_cache(maxsize=None)
def sorting_speed():
    start = time.thread_time_ns()
    sorted(random_numbers())
    return 200000 * 1e9 / (time.thread_time_ns() - start)


def sample_to_sort(seconds):
    size = int(sorting_speed() * seconds * 0.85) + 1
    return (random_numbers() * (size // 200000 + 1))[:size]


def holding(function):
    def prepare(seconds):
        if function is hold_by_sorting:
            sample_to_sort(seconds)
        held = []
        return hoard(function, seconds, held)[0], held

    return prepare


@kind("gil", prepare=holding(hold_by_ctypes), modules=("ctypes",), nobody=True, task="")
async def gil_held_in_c(_seconds, go, held):
    await due_while_held(go, held)


@kind("gil", prepare=holding(hold_by_matching), nobody=True, task="")
async def gil_held_by_matching(_seconds, go, held):
    await due_while_held(go, held)


@kind("gil", prepare=holding(hold_by_sorting), nobody=True, task="")
async def gil_held_by_sorting(_seconds, go, held):
    await due_while_held(go, held)


@kind("gil", prepare=holding(hold_by_bytecode), nobody=True, task="")
async def gil_held_by_bytecode(seconds, go, held):
    # The interpreter makes a thread give way after so long.
    interval = sys.getswitchinterval()
    sys.setswitchinterval(2 * seconds)
    try:
        await due_while_held(go, held)
    finally:
        sys.setswitchinterval(interval)


def compute(go, stop):
    go.wait()
    while not stop:
        pass


def competitor(_seconds):
    stop = []
    return hoard(compute, stop)[0], stop


# Whoever lets the GIL go beside a thread that computes gets it back five milliseconds later.
@kind("gil", prepare=competitor, nobody=True)
def gil_lost_at_every_call(seconds, go, stop):
    until = begin() + seconds * 1e9
    go.set()
    while clock() < until:
        os.stat("/")
    end()
    stop.append(True)
