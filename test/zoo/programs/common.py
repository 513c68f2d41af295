# SPDX-License-Identifier: Apache-2.0
"""What the attacks share."""

import asyncio
import ctypes
import mmap
import os
import select
import struct
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)


def ready():
    os.write(1, b"ready\n")


def child(act):
    """Runs act in a process of its own, which ends with this one; returns its id."""
    pid = os.fork()
    if pid == 0:
        LIBC.prctl(1, 9)  # PR_SET_PDEATHSIG
        try:
            act()
        finally:
            os._exit(0)
    return pid


def collect():
    """Waits for the children that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def wait_now_and_then(seconds):
    """Waits in epoll as a loop does, and is heard of by that."""
    poller = select.epoll()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        poller.poll(0.02)
    poller.close()


def beat(every=0.02, act=None):
    """An event loop that goes on for ever, and tells once it runs."""

    async def main():
        await asyncio.sleep(0.01)
        ready()
        while True:
            if act:
                act()
            await asyncio.sleep(every)

    asyncio.run(main())


def map_code(path, size=mmap.PAGESIZE, at=None, times=1):
    """Maps the beginning of a file as the loader maps code, below all libraries, so that it is looked at first."""
    fd = os.open(path, os.O_RDONLY)
    LIBC.mmap.restype = ctypes.c_void_p
    LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    at = at or 0x10000000
    for i in range(times):
        got = LIBC.mmap(at + i * size, size, mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_PRIVATE | 0x100000, fd, 0)  # MAP_FIXED_NOREPLACE
        if got != at + i * size:
            raise OSError(ctypes.get_errno(), "mmap")
    os.close(fd)


def elf(path, size, segments=1, sections=(), at=None):
    """Writes an ELF file of so many bytes, most of which are a hole.

    segments: PT_LOAD headers, all of the file's beginning. sections: (kind, link, offset, size, entry) each. at: bytes by offset.
    """
    headers = 64 + 56 * segments
    table = headers + (-headers % 64)
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, table if sections else 0, 0, 64, 56, segments, 64, len(sections), 0)
    with open(path, "wb") as out:
        out.truncate(size)
        out.write(head)
        for _ in range(segments):
            out.write(struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, mmap.PAGESIZE, mmap.PAGESIZE, mmap.PAGESIZE))
        out.seek(table)
        for kind, link, offset, length, entry in sections:
            out.write(struct.pack("<IIQQQQIIQQ", 0, kind, 0, 0, offset, length, link, 0, 8, entry))
        for offset, text in (at or {}).items():
            out.seek(offset)
            out.write(text)
    os.chmod(path, 0o755)


def run(attacks):
    """Runs the attack that is named on the command line."""
    attacks[sys.argv[1]](*sys.argv[2:])
