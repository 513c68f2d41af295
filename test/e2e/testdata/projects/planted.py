# SPDX-License-Identifier: Apache-2.0
"""What an application knows of the blocks that were planted in it: a line of JSON for each, in the file PLANTED_LOG.

The lines between begin() and end() are where a block happens.
"""
import json
import os
import sys
import threading
import time

SECONDS = float(os.environ["PLANTED_SECONDS"])
SLOW = os.environ["PLANTED_SLOW"]  # answers after that many seconds


def begin():
    frame = sys._getframe(1)
    return frame.f_lineno, time.monotonic_ns()


def end(begun, *causes):
    now = time.monotonic_ns()
    frame = sys._getframe(1)
    code = frame.f_code
    line, start = begun
    entry = {
        "pid": os.getpid(),
        "tid": threading.get_native_id(),
        "start_ns": start,
        "end_ns": now,
        "function": getattr(code, "co_qualname", code.co_name),
        "file": code.co_filename,
        "lines": list(range(line + 1, frame.f_lineno)),
        "causes": causes,
    }
    log = os.open(os.environ["PLANTED_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(log, (json.dumps(entry) + "\n").encode())
    os.close(log)


def watched():
    """Whether the test has begun to watch."""
    return os.path.exists(os.environ["PLANTED_GATE"])
