"""Blocks by files, pipes and children."""

import fcntl
import functools
import logging
import mmap
import os
import pty
import select
import sqlite3
import subprocess
import tempfile
import threading
import time
import tty

import helper
from kinds import ending, kind, say
from record import begin, end

# A file system on a disk that reads and writes 400,000 bytes a second.
SLOW_DISK = os.environ.get("TRUTH_SLOW_DISK", "")
BYTES_A_SECOND = 400000
SLOW = {"needs": ("TRUTH_SLOW_DISK",), "exclusive": True}

serial = iter(range(10**9))


def on_slow_disk(name):
    path = os.path.join(SLOW_DISK, "%s-%d" % (name, next(serial)))
    say(target=ending(path))
    return path


def worth(seconds):
    """Bytes that take at least so long: the disk gives credit for what it did not have to do before."""
    return int(1.5 * seconds * BYTES_A_SECOND)


def big_write(seconds):
    path = on_slow_disk("written")
    return os.open(path, os.O_CREAT | os.O_RDWR), bytes(worth(seconds))


@kind("file", prepare=big_write, **SLOW)
def fsyncing(_seconds, fd, data):
    os.write(fd, data)
    begin()
    os.fsync(fd)
    end()
    os.close(fd)


@kind("file", prepare=big_write, **SLOW)
def fdatasyncing_log(_seconds, fd, data):
    with open(fd, "wb", buffering=0) as log:
        log.write(data)
        begin()
        os.fdatasync(log.fileno())
        end()


def synchronous_write(seconds):
    path = on_slow_disk("through")
    return os.open(path, os.O_CREAT | os.O_WRONLY | os.O_DSYNC), bytes(worth(seconds))


@kind("file", prepare=synchronous_write, **SLOW)
def writing_through(_seconds, fd, data):
    begin()
    os.write(fd, data)
    end()
    os.close(fd)


def forget(fd):
    """Have the kernel forget what it knows of the file's content."""
    for _ in range(3):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        time.sleep(0.01)


@functools.lru_cache(maxsize=None)
def cold_files():
    """Files there from the start: writing them takes as long as reading them."""
    made = {}
    for name in ("read", "mapped"):
        path = os.path.join(SLOW_DISK, name)
        with open(path, "wb") as f:
            f.write(bytes(worth(0.3)))
            os.fsync(f.fileno())
        made[name] = path
    return made


def cold_file(name):
    def prepare(_seconds):
        path = cold_files()[name]
        say(target=ending(path))
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        forget(fd)
        return (fd,)

    return prepare


@kind("file", prepare=cold_file("read"), **SLOW)
def reading_from_disk(seconds, fd):
    begin()
    os.pread(fd, worth(seconds), 0)
    end()
    os.close(fd)


@kind("file", prepare=cold_file("mapped"), **SLOW)
def faulting_from_disk(seconds, fd):
    size = os.fstat(fd).st_size
    mapped = mmap.mmap(fd, size, prot=mmap.PROT_READ)
    mapped.madvise(mmap.MADV_RANDOM)
    pages = range(0, min(size, worth(seconds)), 4096)
    begin()
    for n in pages:
        mapped[n]
    end()
    mapped.close()
    os.close(fd)


@functools.lru_cache(maxsize=None)
def database_on_slow_disk():
    connection = sqlite3.connect(os.path.join(SLOW_DISK, "shop.db"), isolation_level=None)
    connection.execute("create table if not exists orders (content blob)")
    return connection


def open_transaction(seconds):
    # The journal, the database, their directory: one commit syncs them all.
    say(target=ending(os.path.join(SLOW_DISK, "shop.db")).rstrip("$") + "(-journal|-wal)?$")
    connection = database_on_slow_disk()
    connection.execute("begin")
    connection.execute("insert into orders values (zeroblob(?))", (worth(seconds),))
    return (connection,)


@kind("file", prepare=open_transaction, **SLOW)
def committing_in_sqlite(_seconds, connection):
    begin()
    connection.execute("commit")
    end()


# Thaws the disk so many seconds after its standard input has ended.
KEEPER = """
PATH=$PATH:/usr/sbin:/sbin
fsfreeze -f "$1"
echo frozen
read line || sleep "$2"
fsfreeze -u "$1"
"""


def frozen_disk(seconds):
    path = on_slow_disk("frozen")
    # Thawing has to work whatever becomes of this process's interpreter.
    keeper = subprocess.Popen(
        ["sh", "-ec", KEEPER, "sh", SLOW_DISK, str(seconds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    if keeper.stdout.readline() != b"frozen\n":
        raise RuntimeError("the disk cannot be frozen")
    return path, keeper


@kind("file", prepare=frozen_disk, **SLOW)
def creating_on_stalled_disk(_seconds, path, keeper):
    begin()
    keeper.stdin.close()
    fd = os.open(path, os.O_CREAT | os.O_WRONLY)
    end()
    keeper.wait()
    keeper.stdout.close()
    os.close(fd)


def lock_held_elsewhere(seconds):
    go, ours = helper.locked_file(seconds)
    say(target=ending(ours.name))
    return go, ours


@kind("file", prepare=lock_held_elsewhere, advice="lock on the file")
def locking_a_file(_seconds, go, ours):
    begin()
    go()
    fcntl.flock(ours, fcntl.LOCK_EX)
    end()
    ours.close()


# Pipes, FIFOs and terminals.


PIPE = r"^pipe\b"


@kind("pipe", prepare=helper.empty_pipe, target=PIPE)
def reading_a_pipe(_seconds, go, ours, theirs):
    begin()
    go()
    os.read(ours, 1)
    end()
    os.close(ours)
    os.close(theirs)


@kind("pipe", prepare=helper.empty_pipe, target=PIPE)
def polling_a_pipe(_seconds, go, ours, theirs):
    begin()
    go()
    select.select([ours], [], [])
    end()
    os.close(ours)
    os.close(theirs)


def log_nobody_reads(seconds):
    go, ours, theirs = helper.full_pipe(seconds)
    logger = logging.getLogger("full pipe")
    logger.propagate = False
    logger.handlers = [logging.StreamHandler(open(ours, "w", buffering=1))]
    return go, logger, theirs


@kind("pipe", prepare=log_nobody_reads, target=PIPE, advice="QueueHandler")
def logging_to_a_full_pipe(_seconds, go, logger, theirs):
    begin()
    go()
    logger.error("a line of the log")
    end()
    logger.handlers[0].stream.close()
    os.close(theirs)


def fifo(seconds):
    path = os.path.join(tempfile.mkdtemp(prefix="loopwatch-fifo-"), "orders")
    os.mkfifo(path)
    ours = os.open(path, os.O_RDWR)
    say(target="^pipe.*$|" + ending(path))
    return helper.later(seconds, helper.nothing, lambda: os.write(ours, b"x")), ours


@kind("pipe", prepare=fifo)
def reading_a_fifo(_seconds, go, ours):
    begin()
    go()
    os.read(ours, 1)
    end()
    os.close(ours)


def terminal(seconds):
    theirs, ours = pty.openpty()
    tty.setraw(ours)
    say(target=r"tty|^(.* )?/dev/pts/\d+$")
    return helper.later(seconds, helper.nothing, lambda: os.write(theirs, b"x")), ours, theirs


@kind("pipe", prepare=terminal, path="/dev/pts/ptmx", advice="terminal")
def reading_a_terminal(_seconds, go, ours, theirs):
    begin()
    go()
    os.read(ours, 1)
    end()
    os.close(ours)
    os.close(theirs)


# Children.


CHILD = {"advice": "create_subprocess"}


def child(pid):
    return r"\b%d\b" % pid


@kind("subprocess", target=r"\d", **CHILD)
def running_a_child(seconds):
    begin()
    subprocess.run(["sleep", str(seconds)], check=True)
    end()


def started_child(seconds):
    process = subprocess.Popen(["sleep", str(seconds + 0.05)])
    say(target=child(process.pid))
    return (process,)


@kind("subprocess", prepare=started_child, **CHILD)
def waiting_for_a_child(_seconds, process):
    begin()
    process.wait()
    end()


@kind("subprocess", prepare=started_child, **CHILD)
def waiting_by_waitpid(_seconds, process):
    begin()
    os.waitpid(process.pid, 0)
    end()
    process.returncode = 0


@kind("subprocess", advice="create_subprocess_shell")
def running_a_shell(seconds):
    begin()
    os.system("sleep %f" % seconds)
    end()


@kind("pipe", target=PIPE, **CHILD)
def reading_what_a_shell_writes(seconds):
    shell = os.popen("sleep %f; echo done" % seconds)
    begin()
    shell.read()
    end()
    shell.close()


@kind("pipe", target="^eventfd", modules=("zmq",), advice=r"zmq\.asyncio")
def receiving_by_zeromq(seconds):
    import zmq

    context = zmq.Context.instance()
    ours, theirs = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    theirs.connect("tcp://127.0.0.1:%d" % ours.bind_to_random_port("tcp://127.0.0.1"))
    timer = threading.Timer(seconds, theirs.send, (b"late",))
    timer.start()
    begin()
    ours.recv()
    end()
    timer.join()
    ours.close()
    theirs.close()


# A pipe by what it is, a child by whose it is: both are true.
@kind("pipe", "subprocess", **CHILD)
def reading_a_childs_output(seconds):
    begin()
    subprocess.run(["sleep", str(seconds)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
    end()


@kind("subprocess", **CHILD)
def starting_a_child_slowly(seconds):
    begin()
    process = subprocess.Popen(["true"], preexec_fn=lambda: time.sleep(seconds))
    end()
    process.wait()
