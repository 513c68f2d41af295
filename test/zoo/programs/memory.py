# SPDX-License-Identifier: Apache-2.0
"""Memory that is not what a Python's is.

usage: memory.py ATTACK DIRECTORY, where files go
"""

import ctypes
import gc
import mmap
import os
import random
import struct
import threading
import time

from common import LIBC, beat, elf, map_code, run

WORD = 8
RUNTIME = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))
# Which of the numbers behind the cookie of _Py_DebugOffsets, in CPython 3.13.
HEAD, INTERP_NEXT, THREADS_HEAD, THREAD_NEXT, CURRENT_FRAME, PREVIOUS = 4, 7, 8, 20, 22, 28
SIZES = (2, 5, 18, 27, 33)


def words(addr, n=1):
    return (ctypes.c_uint64 * n).from_address(addr)


def offsets():
    return words(RUNTIME + WORD, 128)


def rings():
    """Interpreters, threads and frames that follow one another for ever. The interpreter itself does not go that far."""
    gc.disable()
    o = offsets()
    interp = words(RUNTIME + o[HEAD])[0]

    def stay():
        time.sleep(1e6)

    for _ in range(3):
        threading.Thread(target=stay, daemon=True).start()
    time.sleep(0.1)
    own = thread = words(interp + o[THREADS_HEAD])[0]
    while words(thread + o[THREAD_NEXT])[0]:
        thread = words(thread + o[THREAD_NEXT])[0]
        own = thread  # the main thread's is the last: new ones come first

    def tie():
        words(thread + o[THREAD_NEXT])[0] = words(interp + o[THREADS_HEAD])[0]
        words(interp + o[INTERP_NEXT])[0] = interp
        top = frame = words(own + o[CURRENT_FRAME])[0]
        while words(frame + o[PREVIOUS])[0]:
            frame = words(frame + o[PREVIOUS])[0]
        words(frame + o[PREVIOUS])[0] = top
        time.sleep(0.05)
        words(frame + o[PREVIOUS])[0] = 0  # top is gone in a moment

    beat(act=tie)


def pretender(directory):
    """A library that says it is CPython 3.13, whose every pointer leads to itself, and which says something else each time."""
    size = 1 << 20
    path = os.path.join(directory, "libpython3.13.so")
    sections = [(0, 0, 0, 0, 0), (11, 2, 4096, 48, 24), (3, 0, 8192, 64, 0)]
    symbol = struct.pack("<IBBHQQ", 1, 0x11, 0, 1, 16384, 8)
    elf(path, size, 1, sections, {4096: bytes(24) + symbol, 8192: b"\0_PyRuntime\0"})
    with open(path, "r+b") as out:  # the segment reaches over all of it, and what is there may be written
        out.seek(64)
        out.write(struct.pack("<IIQQQQQQ", 1, 7, 0, 0, 0, size, size, 4096))
    at = 0x10000000
    map_code(path, size, at)
    LIBC.mprotect(ctypes.c_void_p(at), ctypes.c_size_t(size), 7)
    own = bytes(offsets())
    here = at + 16384

    def change():
        page = bytearray(struct.pack("<Q", here) * ((size - 16384) // WORD))
        page[:8] = b"xdebugpy"
        said = bytearray(own)
        for _ in range(random.randrange(4)):
            i = random.randrange(3, 70)
            if i not in SIZES:
                struct.pack_into("<Q", said, WORD * i, 8 * random.randrange(12))
        page[8:8 + len(said)] = said
        ctypes.memmove(here, bytes(page), len(page))

    change()
    beat(0.05, change)


def remap():
    """50,000 mappings that come and go all the time."""
    page = mmap.PAGESIZE
    LIBC.mmap.restype = ctypes.c_void_p
    LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    LIBC.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    span = 50_000
    base = LIBC.mmap(None, span * page, 5, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    for i in range(0, span, 2):
        LIBC.mprotect(base + i * page, page, 3)

    def change():
        while True:
            for i in range(0, span, 64):
                LIBC.mprotect(base + i * page, page, random.choice((3, 5)))
            time.sleep(0.001)

    threading.Thread(target=change, daemon=True).start()

    def block():
        end = time.monotonic() + 0.15
        while time.monotonic() < end:  # in code that is somewhere else each time
            sorted(range(1000))
            ctypes.string_at(base, 1)

    beat(act=block)


run({"rings": rings, "pretender": pretender, "remap": remap})
