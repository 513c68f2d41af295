"""Blocks by computing: Python, native code, the collector, imports."""

import functools
import gc
import hashlib
import importlib
import json
import os
import random
import re
import shutil
import sqlite3
import sys
import tempfile
import time
import weakref
import zlib

from blocks import document_for, module_to_import, per_second, subject_for
from kinds import afterwards, kind, say
from record import begin, clock, end


@kind("cpu")
def counting(seconds):
    stop = begin() + seconds * 1e9
    n = 0
    while clock() < stop:
        n += 1
    end()
    return n


# The engine of regular expressions is part of the interpreter's own binary.
@kind("cpu", prepare=subject_for, advice="process")
def matching(_seconds, subject):
    begin()
    re.search("a+b", subject)
    end()


@kind("cpu")
def encoding_in_python(seconds):
    document = {"key%d" % n: [n, str(n), None] for n in range(50)}
    stop = begin() + seconds * 1e9
    while clock() < stop:
        json.dumps(
            document,
            indent=1,
        )
    end()


@kind("cpu", prepare=lambda seconds: ([(n * 7919) % 100003 for n in range(20000)],))
def sorting_by_key(seconds, numbers):
    stop = begin() + seconds * 1e9
    while clock() < stop:
        sorted(numbers, key=lambda n: -n)
    end()


# The encoder of _json has the interpreter make the digits and the strings: which of the two has
# the larger share is not ours to say.
@kind("native", "cpu", prepare=document_for, native=r"_json", advice="process|stream")
def dumping_json(_seconds, document):
    begin()
    json.dumps(document)
    end()


def derive(rounds):
    return hashlib.pbkdf2_hmac("sha256", b"password", b"salt", rounds)


@kind(
    "native",
    prepare=lambda seconds: (int(5000 * seconds * per_second(derive, 5000)) + 1,),
    native=r"libcrypto\.so|_hashlib|_sha2|_hmac",
    advice="to_thread",
)
def hashing(_seconds, rounds):
    begin()
    hashlib.pbkdf2_hmac("sha256", b"password", b"salt", rounds)
    end()


def bcrypt_once(rounds):
    import bcrypt

    return bcrypt.hashpw(b"password", bcrypt.gensalt(rounds))


def bcrypt_rounds(seconds):
    # The time doubles with each round; at least what is asked for.
    rounds = 6
    while 2 ** (rounds - 6) < seconds * per_second(bcrypt_once, 6):
        rounds += 1
    return (rounds,)


@kind("native", prepare=bcrypt_rounds, modules=("bcrypt",), native="_bcrypt", advice="to_thread")
def hashing_by_bcrypt(_seconds, rounds):
    import bcrypt

    begin()
    bcrypt.hashpw(b"password", bcrypt.gensalt(rounds))
    end()


NOISE = bytes(range(256)) * 256


@kind("native", native=r"libz|zlib", advice="to_thread")
def compressing(seconds):
    stop = begin() + seconds * 1e9
    while clock() < stop:
        zlib.compress(NOISE, 9)
    end()


@kind("native", native=r"^libz\S* adler32", advice="to_thread")
def checksumming(seconds):
    stop = begin() + seconds * 1e9
    while clock() < stop:
        zlib.adler32(NOISE)
    end()


def shuffled_array(_seconds):
    import numpy

    return (numpy.random.default_rng(1).random(200000),)


@kind("native", prepare=shuffled_array, modules=("numpy",), native="_multiarray_umath")
def sorting_by_numpy(seconds, numbers):
    import numpy

    stop = begin() + seconds * 1e9
    while clock() < stop:
        numpy.sort(numbers)
    end()


COUNT = "with recursive c(n) as (select 1 union all select n + 1 from c where n < ?) select sum(n) from c"


def count_in_sqlite(rows):
    sqlite3.connect(":memory:").execute(COUNT, (rows,)).fetchone()


@kind(
    "native",
    prepare=lambda seconds: (
        sqlite3.connect(":memory:"),
        int(20000 * seconds * per_second(count_in_sqlite, 20000)) + 1,
    ),
    native="sqlite3",
)
def querying_sqlite(_seconds, connection, rows):
    begin()
    connection.execute(COUNT, (rows,)).fetchone()
    end()


# The collector. gc.callbacks say how long it took.


pause = []


def measure(phase, _info):
    pause.append(clock())
    if phase == "stop":
        stop, start = pause.pop(), pause.pop()
        pauses.append(stop - start)


pauses = []


REFERENCES = 40


def garbage_free_heap(size):
    """Lists that refer to each other all over the heap: slow to walk, and cheap to make."""
    nodes = [[] for _ in range(size)]
    for n, node in enumerate(nodes):
        node.extend(nodes[n * 7919 % size :: size // REFERENCES + 1])
    return nodes


def timed_collection():
    """Nanoseconds of a CPU."""
    start = time.thread_time_ns()
    gc.collect()
    return time.thread_time_ns() - start


@functools.lru_cache(maxsize=None)
def heap_speed():
    """Nodes a second of the first collection that sees them, beside what else there is to walk."""
    gc.collect()
    before = timed_collection()
    heap = garbage_free_heap(50000)
    return len(heap) * 1e9 / max(timed_collection() - before, 1e6)


MOST_NODES = 1000000  # each takes some 400 bytes


def big_heap(seconds):
    del pauses[:]
    if measure not in gc.callbacks:
        gc.callbacks.append(measure)
    gc.collect()
    return (garbage_free_heap(min(int(heap_speed() * seconds), MOST_NODES)),)


GC = {"exclusive": True, "advice": "freeze"}


@kind("gc", prepare=big_heap, **GC)
def collecting(_seconds, heap):
    del pauses[:]
    begin()
    gc.collect()
    end()
    say(gc_ns=sum(pauses))
    afterwards(heap.clear)


# The line that allocates is innocent, yet it is where the thread stood.
@kind("gc", prepare=big_heap, innocent=True, **GC)
def allocating(_seconds, heap):
    del pauses[:]
    begin()
    gc.enable()
    more = [[] for _ in range(2000)]
    end()
    gc.disable()
    say(gc_ns=sum(pauses))
    afterwards(heap.clear)
    return more


# What the collector calls: what sleeps there is no collecting.

FINALIZER = {"advice": "finalizer"}


class Slow:
    """Garbage that only the collector finds."""

    def __init__(self, seconds):
        self.seconds, self.itself = seconds, self

    def __del__(self):
        begin()
        time.sleep(self.seconds)
        end()


@kind("sleep", **FINALIZER)
def sleeping_finalizer(seconds):
    Slow(seconds)
    gc.collect()


class Node:
    def __init__(self):
        self.itself = self


def slow_callback(reference):
    begin()
    time.sleep(waits.pop(reference))
    end()


waits = {}


@kind("sleep", **FINALIZER)
def sleeping_weakref_callback(seconds):
    waits[weakref.ref(Node(), slow_callback)] = seconds
    gc.collect()


# Imports.


@kind("import", prepare=module_to_import, advice="start")
def importing_a_slow_module(_seconds, directory, module):
    # The line to blame is the module's own, and so are begin() and end().
    importlib.import_module(module)
    sys.path.remove(directory)
    shutil.rmtree(directory)


def source(functions):
    line = "def handler_%d(request):\n    return [request.get('field %d', %d), {'a': request}, 'x' * %d]\n"
    return "".join(line % (n, n, n, n) for n in range(functions))


def compile_source(functions):
    compile(source(functions), "<sample>", "exec")


def module_to_compile(seconds):
    directory = tempfile.mkdtemp(prefix="loopwatch-import-")
    module = "big_%d" % clock()
    with open(os.path.join(directory, module + ".py"), "w") as f:
        f.write(source(int(200 * seconds * per_second(compile_source, 200)) + 1))
    sys.path.insert(0, directory)
    return directory, module


@kind("import", prepare=module_to_compile, advice="start")
def importing_a_big_module(_seconds, directory, module):
    start = begin()
    importlib.import_module(module)
    end()
    say(import_ns=clock() - start)
    sys.path.remove(directory)
    shutil.rmtree(directory)
