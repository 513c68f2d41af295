"""Put in front of every program: takes stacks of the main thread and prints them, one JSON
object a line: label, frames (innermost first), modules (files of the extension modules loaded).
"""
import _thread
import faulthandler
import json
import os
import select
import sys
import time

# Kept before a library replaces them.
_sleep, _start, _epoll, _frames = time.sleep, _thread.start_new_thread, select.epoll, sys._current_frames
_main = _thread.get_ident()
faulthandler.dump_traceback_later(50, exit=True)  # a program that hangs says where
_out = os.fdopen(os.dup(1), "w")


def _emit(label, frame):
    frames = []
    while frame is not None:
        code = frame.f_code
        frames.append({"function": getattr(code, "co_qualname", code.co_name), "file": code.co_filename, "line": frame.f_lineno or 0})
        frame = frame.f_back
    modules = {getattr(m, "__file__", None) or "" for m in list(sys.modules.values())}
    _out.write(json.dumps({"label": label, "frames": frames, "modules": sorted(m for m in modules if m.endswith(".so"))}) + "\n")
    _out.flush()


def here(label):
    """Takes the caller's stack."""
    _emit(label, sys._getframe(1))


class Watch:
    """Takes the main thread's stack as soon as it stands still, which is then in a wait."""

    def __init__(self, label):
        self.label, self.done = label, False
        _start(self._run, ())

    def _run(self):
        last, same = None, 0
        while same < 10:
            _sleep(0.04)
            now, frame = [], _frames()[_main]
            while frame is not None:
                now.append((id(frame), frame.f_lasti))
                frame = frame.f_back
            same = same + 1 if now == last else 0
            last = now
            frame = None
        _emit(self.label, _frames()[_main])
        self.done = True


def nested(label):
    """Waits on an epoll of its own, as a blocking client library does."""
    watch, poller = Watch(label), _epoll()
    while not watch.done:
        poller.poll(0.5)
    poller.close()
