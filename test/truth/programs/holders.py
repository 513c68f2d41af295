"""A loop that waits for what other threads and processes hold, and says who that was.

Prints one JSON object for each wait: {"kind", "start_ns", "end_ns", "causes", "culprit", "gil",
"holder": {"pid", "tid", "function"} or null, "run_delay_ns": for how long the loop's thread has waited for a
CPU since the one before}. First comes {"event": "ready", "child": PID}; it begins
when its stdin ends. Arguments: how often to wait in each way, and in which ways, all if none is named.
"""

import asyncio
import ctypes
import functools
import gc
import hashlib
import json
import mmap
import multiprocessing
import os
import queue
import sys
import threading
import time

import turn
from record import run_delay

clock = time.monotonic_ns
usleep = ctypes.PyDLL(None).usleep  # keeps the GIL

HELD = 0.3  # seconds
CASES = []


class Helper(threading.Thread):
    """A thread that runs one function after another, and knows its own id."""

    def __init__(self):
        super().__init__(daemon=True)
        self.work, self.tid = queue.Queue(), None
        self.known = threading.Event()
        self.start()
        self.known.wait()

    def run(self):
        self.tid = threading.get_native_id()
        self.known.set()
        while True:
            function, arguments = self.work.get()
            function(*arguments)

    def do(self, function, *arguments):
        self.work.put((function, arguments))


def case(*causes, gil="", holder=None, culprit=None, turn=False):
    """Registers a coroutine function that waits and returns when that began, and for whom."""

    def register(function):
        CASES.append((function, causes, gil, holder, culprit, turn))
        return function

    return register


# The GIL: the loop is asleep when it is taken, or computes.


def keep_gil_in_c(seconds):
    usleep(int(seconds * 1e6))


@case("gil", holder=keep_gil_in_c)
async def gil_in_c(helper):
    helper.do(keep_gil_in_c, HELD)
    await asyncio.sleep(0.02)  # ends on time, and then there is no GIL


def compute(seconds):
    stop = clock() + seconds * 1e9
    n = 0
    while clock() < stop:
        n += 1


def give_way(seconds):
    stop = clock() + seconds * 1e9
    while clock() < stop:
        time.sleep(0)  # gives the GIL away and wants it back


@case("gil", holder=compute, turn=True)
async def gil_in_bytecode(helper):
    helper.do(compute, 2 * HELD)
    time.sleep(0.01)
    start = clock()
    give_way(HELD)
    return start, clock()


# Locks: the helper has them, and gives them up.


def release_lock(lock, locked, seconds):
    with lock:
        locked.set()
        time.sleep(seconds)


def wait_for_lock(lock):
    with lock:
        pass


@case("lock", gil="released", holder=release_lock, culprit=wait_for_lock)
async def lock(helper):
    return await waited_for(threading.Lock(), helper)


@case("lock", gil="released", holder=release_lock, culprit=wait_for_lock)
async def rlock(helper):
    return await waited_for(threading.RLock(), helper)


async def waited_for(lock, helper):
    locked = threading.Event()
    helper.do(release_lock, lock, locked, HELD)
    while not locked.is_set():
        await asyncio.sleep(0.002)
    start = clock()
    wait_for_lock(lock)
    return start, clock()


def notify(condition, seconds):
    time.sleep(seconds)
    with condition:
        condition.notify()


def wait_for_condition(condition):
    with condition:
        condition.wait()


@case("lock", gil="released", holder=notify, culprit=wait_for_condition)
async def condition(helper):
    it = threading.Condition()
    start = clock()
    helper.do(notify, it, HELD)
    wait_for_condition(it)
    return start, clock()


def put(it, seconds):
    time.sleep(seconds)
    it.put(1)


def get(it):
    it.get()


@case("lock", gil="released", holder=put, culprit=get)
async def queued(helper):
    return got_from(queue.Queue(), helper)


@case("lock", gil="released", holder=put, culprit=get)
async def simple_queue(helper):
    return got_from(queue.SimpleQueue(), helper)


def got_from(it, helper):
    start = clock()
    helper.do(put, it, HELD)
    get(it)
    return start, clock()


def set_event(event, seconds):
    time.sleep(seconds)
    event.set()


def wait_for_event(event):
    event.wait(60)


@case("lock", gil="released", holder=set_event, culprit=wait_for_event)
async def event(helper):
    it = threading.Event()
    start = clock()
    helper.do(set_event, it, HELD)
    wait_for_event(it)
    return start, clock()


def wait_in_vain(lock):
    lock.acquire(timeout=HELD)


@case("lock", gil="released", culprit=wait_in_vain)
async def lock_never_released(_helper):
    # A timer ends the wait, in the middle of whatever runs then: nobody released anything.
    it = threading.Lock()
    it.acquire()
    start = clock()
    wait_in_vain(it)
    return start, clock()


class SharedLock:
    """What multiprocessing.Lock is made of, for a tree whose /dev/shm is no tmpfs."""

    def __init__(self):
        self.memory = mmap.mmap(-1, mmap.PAGESIZE)
        self.at = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        libc, at = ctypes.CDLL(None), ctypes.c_void_p(self.at)
        libc.sem_init(at, 1, 1)
        self.acquire, self.release = functools.partial(libc.sem_wait, at), functools.partial(libc.sem_post, at)


class Child:
    """A process that shares a lock."""

    def __init__(self):
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        self.pipe = ours
        try:
            self.lock = context.Lock()
        except OSError:
            self.lock = SharedLock()
        self.process = context.Process(target=self.serve, args=(theirs,), daemon=True)
        self.process.start()

    def serve(self, pipe):
        while True:
            seconds = pipe.recv()
            self.release_shared_lock(pipe, seconds)

    def release_shared_lock(self, pipe, seconds):
        self.lock.acquire()
        pipe.send("locked")
        time.sleep(seconds)
        self.lock.release()


def wait_for_shared_lock(lock):
    lock.acquire()
    lock.release()


@case("lock", gil="released", holder=Child.release_shared_lock, culprit=wait_for_shared_lock)
async def shared_lock(_helper):
    child.pipe.send(HELD)
    while not child.pipe.poll():
        await asyncio.sleep(0.002)
    child.pipe.recv()
    start = clock()
    wait_for_shared_lock(child.lock)
    return start, clock()


# Native code, with the GIL and without, and the collector.

DOCUMENT = list(range(100000, 200000))


def encode(times):
    for _ in range(times):
        json.dumps(DOCUMENT)


@case("cpu", "native", gil="held", culprit=encode, turn=True)
async def encoding(_helper):
    return computed(encode, DOCUMENT and 5)


def derive(times):
    hashlib.pbkdf2_hmac("sha256", b"password", b"salt", times * 100000)


@case("native", gil="released", culprit=derive, turn=True)
async def hashing(_helper):
    return computed(derive, 2)


def computed(function, unit):
    """Calls function to see how long it takes, and with as many units as HELD takes."""
    start = clock()
    function(unit)
    units = unit * max(1, round(HELD * 1e9 / (clock() - start)))
    function(units)
    return start, clock()


def collect():
    gc.collect()


@case("gc", gil="held", culprit=collect, turn=True)
async def collecting(_helper):
    heap = heap_for(HELD)
    await asyncio.sleep(0.05)
    start = clock()
    collect()
    end = clock()
    await asyncio.sleep(0.01)
    del heap
    return start, end


def allocate(count):
    kept = []
    for _ in range(count):
        kept.append([])


@case("gc", gil="held", culprit=allocate, turn=True)
async def collecting_by_itself(_helper):
    # The collector was off while these were made: it has them all to look at as soon as it is on.
    heap = heap_for(HELD)
    await asyncio.sleep(0.05)
    start = clock()
    gc.enable()
    allocate(10000)
    end = clock()
    await asyncio.sleep(0.01)
    del heap
    return start, end


def heap_for(seconds):
    """Objects that take the collector so long to look at. Leaves it off."""
    gc.disable()
    objects = [[n] for n in range(200000)]
    start = time.thread_time_ns()
    gc.collect()
    each = (time.thread_time_ns() - start) / len(objects)
    return [[n] for n in range(min(4000000, int(seconds * 1e9 / each)))]


def tell(entry):
    os.write(1, (json.dumps(entry) + "\n").encode())


def told_to_go():
    try:
        return os.read(0, 1) == b""
    except BlockingIOError:
        return False


async def main():
    os.set_blocking(0, False)
    helper = Helper()
    decoys = [Helper() for _ in range(3)]
    for decoy in decoys:
        decoy.do(time.sleep, 3600)
    tell({"event": "ready", "child": child.process.pid})
    while not told_to_go():
        await asyncio.sleep(0.01)
    chosen = sys.argv[2:]
    if not chosen and len(os.sched_getaffinity(0)) == 1:
        # A thread that only ever gives way for microseconds may be back before another gets the CPU.
        chosen = [case[0].__name__ for case in CASES if case[0] is not gil_in_bytecode]
    delay = run_delay()
    for _ in range(int(sys.argv[1])):
        for function, causes, gil, holder, culprit, computes in CASES:
            if chosen and function.__name__ not in chosen:
                continue
            while computes and not turn.take():
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            start = clock()
            times = await function(helper)
            start, end = times or (start, clock())
            turn.drop()
            gc.enable()
            await asyncio.sleep(0.05)
            before, delay = delay, run_delay()
            entry = {
                "run_delay_ns": delay - before, "kind": function.__name__, "start_ns": start, "end_ns": end, "causes": causes, "gil": gil,
                "culprit": culprit and culprit.__name__, "holder": None,
            }
            if holder:
                shared = function is shared_lock
                entry["holder"] = {
                    "pid": child.process.pid if shared else 0,
                    "tid": child.process.pid if shared else helper.tid,
                    "function": holder.__name__,
                }
            tell(entry)
    tell({"event": "done"})


child = Child()
asyncio.run(main())
