"""Blocks that the host makes, sleep, and volume."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

from kinds import kind
from record import begin, clock, end

SLEEP = {"advice": r"asyncio\.sleep"}


@kind("sleep", **SLEEP)
def sleeping(seconds):
    begin()
    time.sleep(seconds)
    end()


@kind("sleep", **SLEEP)
def polling_by_sleep(seconds):
    stop = begin() + seconds * 1e9
    while clock() < stop:
        time.sleep(0.004)
    end()


@kind("sleep")
def selecting_nothing(seconds):
    import select

    begin()
    select.select([], [], [], seconds)
    end()


def locked_database(seconds):
    path = os.path.join(tempfile.mkdtemp(prefix="loopwatch-sqlite-"), "shop.db")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("create table orders (id)")
    holder.execute("begin exclusive")
    return sqlite3.connect(path, timeout=seconds, isolation_level=None), holder


@kind("sleep", prepare=locked_database)
def waiting_for_sqlite(_seconds, connection, holder):
    begin()
    with contextlib.suppress(sqlite3.OperationalError):
        connection.execute("insert into orders values (1)")
    end()
    holder.close()


def refused_port(seconds):
    import socket

    import urllib3

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    # It sleeps before the second and the third try.
    retries = urllib3.Retry(total=3, backoff_factor=seconds / 6)
    return urllib3.PoolManager(retries=retries), "http://127.0.0.1:%d/" % port


@kind("sleep", prepare=refused_port, modules=("urllib3",))
def retrying_by_urllib3(_seconds, pool, url):
    import logging

    import urllib3

    logging.getLogger("urllib3").setLevel(logging.CRITICAL)
    begin()
    with contextlib.suppress(urllib3.exceptions.HTTPError):
        pool.request("GET", url)
    end()


# What takes the CPU away.


def burn(cpu_seconds):
    stop = time.thread_time() + cpu_seconds
    while time.thread_time() < stop:
        pass


COMPETITORS = 4


def crowd(seconds):
    cpu = min(os.sched_getaffinity(0))
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    # They end by themselves should this program not come to end them.
    competitors = [
        subprocess.Popen(["timeout", str(10 + seconds), "sh", "-c", "while :; do :; done"]) for _ in range(COMPETITORS)
    ]
    return before, competitors


@kind("runqueue", prepare=crowd, nobody=True, exclusive=True)
def crowded_out(seconds, before, competitors):
    begin()
    burn(seconds / (1 + COMPETITORS))
    end()
    os.sched_setaffinity(0, before)
    for one in competitors:
        one.terminate()
        one.wait()


QUOTA = os.environ.get("TRUTH_QUOTA", "")  # a cgroup this process is in
PERIOD_US, QUOTA_US = 100000, 10000


def set_quota(quota):
    unified = os.path.join(QUOTA, "cpu.max")
    if os.path.exists(unified):
        with open(unified, "w") as f:
            f.write("%s %d" % (quota or "max", PERIOD_US))
        return
    with open(os.path.join(QUOTA, "cpu.cfs_quota_us"), "w") as f:
        f.write(str(quota or -1))


@kind("throttled", needs=("TRUTH_QUOTA",), nobody=True, exclusive=True, advice="quota|limit")
def throttled(seconds):
    set_quota(QUOTA_US)
    begin()
    burn(seconds * QUOTA_US / PERIOD_US)
    end()
    set_quota(None)


def continuer(seconds):
    """A child that has this process go on, so many seconds after its standard input is closed."""
    return (
        subprocess.Popen(
            ["sh", "-c", 'read line; sleep "$1"; kill -CONT "$2"', "sh", str(seconds), str(os.getpid())],
            stdin=subprocess.PIPE,
        ),
    )


@kind("stopped", prepare=continuer, nobody=True)
def stopped_by_signal(_seconds, child):
    begin()
    child.stdin.close()
    os.kill(os.getpid(), signal.SIGSTOP)
    end()
    child.wait()


TRACER = """
import ctypes, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
SEIZE, INTERRUPT, DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000
tid, seconds = int(sys.argv[1]), float(sys.argv[2])
sys.stdout.write("ready\\n")
sys.stdout.flush()
sys.stdin.readline()
import os
def call(request):
    if libc.ptrace(request, tid, None, None):
        raise OSError(ctypes.get_errno(), "ptrace")
call(SEIZE)
call(INTERRUPT)
os.waitpid(tid, WALL)
time.sleep(seconds)
call(DETACH)
"""


def tracer(seconds):
    import threading

    child = subprocess.Popen(
        [sys.executable, "-c", TRACER, str(threading.get_native_id()), str(seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    child.stdout.readline()
    return (child,)


@kind("stopped", prepare=tracer, modules=("ctypes",), nobody=True, exclusive=True)
def stopped_by_tracer(seconds, child):
    stop = begin() + 1.2 * seconds * 1e9
    child.stdin.close()
    while clock() < stop:
        pass
    end()
    child.wait()
    child.stdout.close()


# Many callbacks of one iteration, none of them long.


async def together(steps, step, seconds):
    loop = asyncio.get_running_loop()
    for _ in range(steps):
        loop.call_soon(step, seconds / steps)
    await asyncio.sleep(0)


def short_sleep(seconds):
    begin()
    time.sleep(seconds)
    end()


def short_work(seconds):
    stop = begin() + seconds * 1e9
    while clock() < stop:
        pass
    end()


@kind("sleep", shape="many", task="")
async def many_sleeps(seconds):
    await together(20, short_sleep, seconds)


@kind("cpu", shape="many", task="")
async def much_work(seconds):
    await together(20, short_work, seconds)


# No cause of the list covers a wait for a signal; it is no sleep by clock.
@kind("unknown", "sleep")
def awaiting_a_signal(seconds):
    begin()
    signal.sigtimedwait({signal.SIGUSR1}, seconds)
    end()
