"""A Python process with an event loop whose memory stops answering: nobody serves its pages any more.

Prints "ready" once the loop rests, waits for a line on its standard input, and prints "silent" a moment before. Which
memory that is, is the argument: "heap", in which the interpreter keeps its state, or "code", where the functions are.
"""

import asyncio
import ctypes
import json
import os
import sys
import threading

UFFD_API, UFFD_REGISTER = 0xC018AA3F, 0xC020AA00
MISSING = 1
DONTNEED = 4
USERFAULTFD = {"x86_64": 323, "aarch64": 282}[os.uname().machine]

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def mappings():
    with open("/proc/self/maps") as maps:
        for line in maps:
            fields = line.split()
            start, end = (int(n, 16) for n in fields[0].split("-"))
            yield start, end, fields[1], fields[5] if len(fields) > 5 else ""


def wanted(what):
    """The range of memory that is to stop answering."""
    for start, end, mode, name in mappings():
        if not mode.startswith("rw"):
            continue
        if what == "heap" and name == "[heap]" or what == "code" and start <= id(rest.__code__) < end and not name:
            return start, end
    raise LookupError(what)


async def rest():
    await asyncio.sleep(3600)


def tell(event):
    print(json.dumps({"event": event}), flush=True)


def run():
    asyncio.run(rest())


def main():
    what = sys.argv[1]
    threading.Thread(target=run, daemon=True).start()
    tell("ready")
    sys.stdin.readline()
    start, end = wanted(what)
    fd = check(libc.syscall(USERFAULTFD, os.O_CLOEXEC))
    api = (ctypes.c_uint64 * 3)(0xAA)
    check(libc.ioctl(fd, ctypes.c_ulong(UFFD_API), api))
    register = (ctypes.c_uint64 * 4)(start, end - start, MISSING)
    check(libc.ioctl(fd, ctypes.c_ulong(UFFD_REGISTER), register))
    tell("silent")
    libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), DONTNEED)  # the program itself is stuck from here on


if __name__ == "__main__":
    main()
