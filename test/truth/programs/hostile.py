# SPDX-License-Identifier: Apache-2.0
"""An asyncio program all of whose names want to do harm where they are printed.

hostile.py DIRECTORY WORDS...: makes files of hostile names in the directory, prints "ready" once its loop
runs, and blocks it in one way after the other until its standard input ends; after each round it prints when
that began. What is behind the directory is there to stand in the command line.
"""

import asyncio
import ctypes
import ctypes.util
import importlib
import os
import select
import shutil
import socket
import sys
import threading
import time
import types

# Sets titles and colours, erases, asks the terminal to answer; hides and reorders; ends a line, an
# attribute, an element, a script, a string; is no UTF-8 where names are bytes.
EVIL = "e\x1b]0;pwned\x07\x1b[31m\x1b[2J\x1b[6n\r\n\t\b\x9b31m\x7f\u202e\u2066\u200b\u200d\ufeff\u2028" \
    "<img src=x onerror=pwned=1><script>pwned=1</script><!--'\"`$(reboot);%s{{.}}\\u001b\ufe0f" + 9 * "\u0301"
NAME = EVIL.replace("/", "|")
LONG = EVIL + "long" * 250_000 + EVIL
BYTES = NAME.encode()[:120] + b"\xff\xfe\xc3"
SECONDS = 0.15


def disguise(function, name=LONG, file=None):
    """The function under another name, in another file."""
    code = function.__code__
    names = {"co_name": name, "co_filename": file or "/srv/" + LONG + ".py"}
    if sys.version_info >= (3, 11):
        names["co_qualname"] = name + "." + name
    return types.FunctionType(code.replace(**names), function.__globals__, name, function.__defaults__, function.__closure__)


def later(act):
    """Has another thread, of a hostile name, act after a while."""

    def wait():
        ctypes.CDLL(None).prctl(15, BYTES)
        time.sleep(SECONDS)
        act()

    thread = threading.Thread(target=disguise(wait), name=LONG)
    thread.start()
    return thread


def sleeping():
    time.sleep(SECONDS)


def computing():
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        pass


def receiving():
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(PEER)
        other, _ = SERVER.accept()
        thread = later(lambda: other.send(b"x"))
        client.recv(1)
        thread.join()
        other.close()


def reading():
    thread = later(lambda: os.close(os.open(FIFO, os.O_WRONLY)))
    os.close(os.open(FIFO, os.O_RDONLY))
    thread.join()


def locking():
    lock = threading.Lock()
    lock.acquire()
    thread = later(lock.release)
    lock.acquire()
    thread.join()


def native():
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        LIBRARY.crc32(0, MEMORY, len(MEMORY))


def importing():
    sys.modules.pop(MODULE, None)
    importlib.import_module(MODULE)


def auditing():
    for _ in range(3):
        sys.audit(LONG)
        sys.audit(EVIL)
    time.sleep(SECONDS)


WAYS = [sleeping, computing, receiving, reading, locking, native, importing, auditing]


def prepare(directory):
    global PEER, SERVER, FIFO, LIBRARY, MEMORY, MODULE
    place = directory.encode() + b"/" + BYTES
    os.mkdir(place)
    os.chdir(place)  # paths of sockets are short
    PEER = b"\0%d" % os.getpid() + BYTES[:90]
    SERVER = socket.socket(socket.AF_UNIX)
    SERVER.bind(PEER)
    SERVER.listen()
    FIFO = place + b"/fifo" + BYTES
    os.mkfifo(FIFO)
    library = place + b"/library" + BYTES + b".so"
    shutil.copy(os.path.realpath(next(l.split()[-1] for l in open("/proc/self/maps") if "/libz.so" in l)), library)
    LIBRARY = ctypes.CDLL(os.fsdecode(library))
    LIBRARY.crc32.argtypes = [ctypes.c_ulong, ctypes.c_char_p, ctypes.c_uint]
    MEMORY = bytes(1 << 20)
    MODULE = "module" + NAME.replace(".", "")[:60]
    with open(os.path.join(place, os.fsencode(MODULE) + b".py"), "w") as out:
        out.write("import time\ntime.sleep(%s)\n" % SECONDS)
    sys.path.insert(0, os.fsdecode(place))
    ctypes.CDLL(None).prctl(15, BYTES)


def ended():
    return bool(select.select([0], [], [], 0)[0])


async def play():
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0.02)
    os.write(1, b"ready\n")
    while not ended():
        began = time.monotonic_ns()
        for way in WAYS:
            evil = disguise(way)

            async def task():
                evil()

            task.__code__ = disguise(task).__code__
            await asyncio.create_task(task(), name=LONG)
            await asyncio.sleep(0.02)
        os.write(1, b"%d\n" % began)


if __name__ == "__main__":
    import zlib  # maps libz
    assert zlib

    prepare(sys.argv[1])
    asyncio.run(play())
