"""Threads that end the waits the blocking functions enter.

Each prepare function here runs an iteration before its block and returns what the block works
on; the block starts the clock by go(), so that its length does not depend on when it begins.
"""

import fcntl
import functools
import os
import socket
import tempfile
import threading
import time


def later(seconds, hold, release):
    """Have a thread hold(), and release() some seconds after the function returned is called."""
    held, started = threading.Event(), threading.Event()

    def work():
        hold()
        held.set()
        started.wait()
        time.sleep(seconds)
        release()

    threading.Thread(target=work, name="helper", daemon=True).start()
    held.wait()
    return started.set


def nothing():
    pass


def held_lock(seconds):
    lock = threading.Lock()
    return later(seconds, lock.acquire, lock.release), lock


def unset_event(seconds):
    event = threading.Event()
    return later(seconds, nothing, event.set), event


def silent_peer(seconds):
    ours, theirs = socket.socketpair()
    return later(seconds, nothing, lambda: theirs.send(b"x")), ours, theirs


def silent_tcp_peer(_seconds):
    listener = socket.create_server(("127.0.0.1", 0))
    ours = socket.create_connection(listener.getsockname())
    theirs, _ = listener.accept()
    return nothing, ours, theirs, listener


def empty_pipe(seconds):
    ours, theirs = os.pipe()
    return later(seconds, nothing, lambda: os.write(theirs, b"x")), ours, theirs


def full_pipe(seconds):
    theirs, ours = os.pipe()
    os.set_blocking(ours, False)
    try:
        while True:
            os.write(ours, bytes(4096))
    except BlockingIOError:
        os.set_blocking(ours, True)
    return later(seconds, nothing, lambda: os.read(theirs, 65536)), ours, theirs


@functools.lru_cache(maxsize=None)
def file_to(purpose):
    # One for the whole run: making and deleting files can block the loop for long, too.
    return tempfile.NamedTemporaryFile(prefix="loopwatch-%s-" % purpose, buffering=0)


def locked_file(seconds):
    theirs = file_to("lock")
    ours = open(theirs.name, "rb")

    def release():
        fcntl.flock(theirs, fcntl.LOCK_UN)

    return later(seconds, lambda: fcntl.flock(theirs, fcntl.LOCK_EX), release), ours


def scratch_file(_seconds):
    return (file_to("sync"),)
