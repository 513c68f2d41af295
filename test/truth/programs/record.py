"""What a truth program knows about its own blocks.

A blocking function brackets the blocking statements by begin() and end(). The lines strictly
between the two are where the block happens; where both stand on one line, it is that line.
"""

import os
import sys
import threading
import time

clock = time.monotonic_ns

# The suite hands /proc down as this descriptor: a bare Debian tree has none mounted.
PROC = 4

_open = {}
_closed = {}


def begin(at=None):
    """Note the caller's frame and the time, or when it really was; return the time."""
    frame = sys._getframe(1)
    code = frame.f_code
    entry = [
        getattr(code, "co_qualname", code.co_name),  # from 3.11 on
        code.co_filename,
        frame.f_lineno,
        0,
    ]
    _open[threading.get_ident()] = entry
    entry[3] = at or clock()
    return entry[3]


def end(at=None):
    """Close what begin() of this thread has opened."""
    now = at or clock()
    function, path, first, start = _open.pop(threading.get_ident())
    last = sys._getframe(1).f_lineno
    _closed.setdefault(threading.get_ident(), []).append((function, path, first, last, start, now))


def take(kind, causes):
    """The record of this thread's blocks since the last call, taken as one period; None if none."""
    entries = _closed.pop(threading.get_ident(), None)
    if not entries:
        return None
    function, path, first, last, start, _ = entries[0]
    lines = list(range(first + 1, last)) or [first]
    return {
        "tid": threading.get_native_id(),
        "start_ns": start,
        "end_ns": entries[-1][5],
        "kind": kind,
        "function": function,
        "file": path,
        "line": lines[0],
        "lines": lines,
        "causes": causes,
    }


def run_delay():
    """Nanoseconds this thread has waited for a CPU so far, by the kernel's own account."""
    try:
        fd = os.open("thread-self/schedstat", os.O_RDONLY, dir_fd=PROC)
    except OSError:
        fd = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
    try:
        return int(os.read(fd, 256).split()[1])
    finally:
        os.close(fd)
