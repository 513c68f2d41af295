# SPDX-License-Identifier: Apache-2.0
"""Files made to cost who reads them.

usage: files.py ATTACK DIRECTORY, where the files go
"""

import os
import struct
import threading
import time

from common import beat, child, collect, elf, map_code, ready, run, wait_now_and_then

MIB = 1 << 20
SYMTAB, STRTAB, DYNSYM = 2, 3, 11
AT = MIB


def tables(path, sections, size):
    """A file of so many symbol tables, all at one place, with names that may be wanted."""
    rows = [(0, 0, 0, 0, 0)]
    rows += [((SYMTAB, DYNSYM)[i % 2], sections - 1, AT, size, 24) for i in range(sections - 2)]
    rows.append((STRTAB, 0, AT, size, 0))
    elf(path, AT + size, 1, rows, {AT + size // 2: b"\0_PyRuntime\0Py_Initialize\0"})


def sections(directory):
    """4,096 sections with the same 256 MiB, and with as much as a table may have."""
    for n, size in enumerate((256 * MIB, 63 * MIB)):
        path = os.path.join(directory, "libpython3.9%d.so" % n)
        tables(path, 4096, size)
        map_code(path, at=0x10000000 + n * 0x100000)
    beat()


def mappings(directory):
    """60,000 mappings of a file of 127 segments, which may all be where it is loaded."""
    path = os.path.join(directory, "libpython3.99.so")
    symbol = struct.pack("<IBBHQQ", 1, 0x11, 0, 1, 0x10, 8)
    elf(path, AT + MIB, 127, [(0, 0, 0, 0, 0), (DYNSYM, 2, AT, 48, 24), (STRTAB, 0, AT + 4096, 64, 0)],
        {AT: bytes(24) + symbol, AT + 4096: b"\0_PyRuntime\0"})
    map_code(path, times=60_000)
    beat()


def many(directory):
    """300 files of the largest size that is read."""
    for n in range(300):
        path = os.path.join(directory, "libpython3.%d.so" % n)
        tables(path, 4, 63 * MIB)
        map_code(path, at=0x10000000 + n * 0x100000)
    beat()


def changing(directory):
    """A library that changes all the time, in processes that follow one another."""
    path = os.path.join(directory, "libpython3.99.so")
    tables(path, 4, 63 * MIB)

    def change():
        while True:
            os.utime(path)
            time.sleep(0.001)

    threading.Thread(target=change, daemon=True).start()

    def use():
        map_code(path)
        wait_now_and_then(0.2)

    ready()
    while True:
        child(use)
        time.sleep(0.05)
        collect()


def fresh(directory):
    """Processes that follow one another, each with a library that nobody has seen."""
    number = 0

    def use():
        path = os.path.join(directory, "libpython3.%d.so" % number)
        tables(path, 4, 63 * MIB)
        map_code(path)
        os.unlink(path)
        wait_now_and_then(0.2)

    ready()
    while True:
        number += 1
        child(use)
        time.sleep(0.05)
        collect()


run({"sections": sections, "mappings": mappings, "many": many, "changing": changing, "fresh": fresh})
