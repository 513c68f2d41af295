"""Functions that block on purpose, each in its own way.

Every function is registered with the causes that describe it (the best one first; a coarser tool may
say one of the others), and takes the number of seconds it is to last. Lines and names matter here:
they are what loopwatch is held against.
"""

import contextlib
import fcntl
import functools
import gc
import hashlib
import importlib
import json
import os
import re
import select
import subprocess
import sys
import tempfile
import time
import zlib

import helper
from record import begin, clock, end

BLOCKS = []


class Block:
    def __init__(self, function, causes, prepare, name=None):
        self.kind = name or function.__name__
        self.function = function
        self.causes = causes
        self.prepare = prepare

    @property
    def burns_cpu(self):
        return bool({"cpu", "native", "gc"} & set(self.causes))


def block(*causes, prepare=None, name=None):
    def register(function):
        BLOCKS.append(Block(function, causes, prepare, name))
        return function

    return register


# The thread sleeps or waits.


@block("sleep")
def sleeping(seconds):
    begin()
    time.sleep(seconds)
    end()


@block("net", prepare=helper.silent_peer)
def receiving(_seconds, go, ours, _theirs):
    begin()
    go()
    ours.recv(1)
    end()
    ours.close()


@block("net", prepare=helper.silent_tcp_peer)
def receiving_with_timeout(seconds, _go, ours, _theirs, _listener):
    ours.settimeout(seconds)
    begin()
    with contextlib.suppress(OSError):
        ours.recv(1)
    end()
    ours.close()


@block("pipe", prepare=helper.empty_pipe)
def reading_pipe(_seconds, go, ours, theirs):
    begin()
    go()
    os.read(ours, 1)
    end()
    os.close(ours)
    os.close(theirs)


@block("pipe", prepare=helper.full_pipe)
def writing_pipe(_seconds, go, ours, theirs):
    begin()
    go()
    os.write(ours, b"x")
    end()
    os.close(ours)
    os.close(theirs)


@block("file", "unknown", prepare=helper.locked_file)
def locking_file(_seconds, go, ours):
    begin()
    go()
    fcntl.flock(ours, fcntl.LOCK_EX)
    end()
    ours.close()


@block("file", "cpu", "native", prepare=helper.scratch_file)
def syncing_file(seconds, scratch):
    stop = begin() + seconds * 1e9
    while clock() < stop:
        os.pwrite(scratch.fileno(), b"x" * 4096, 0)
        os.fsync(scratch.fileno())
    end()


@block("sleep")
def selecting_nothing(seconds):
    begin()
    select.select([], [], [], seconds)
    end()


@block("net", prepare=helper.silent_peer)
def polling_socket(_seconds, go, ours, _theirs):
    poller = select.poll()
    poller.register(ours, select.POLLIN)
    begin()
    go()
    poller.poll()
    end()
    ours.close()


@block("net", "unknown", prepare=helper.silent_peer)
def nested_epoll(_seconds, go, ours, _theirs):
    # A wait, but not the loop's own: the loop is as blocked as by any other call.
    poller = select.epoll()
    poller.register(ours, select.EPOLLIN)
    begin()
    go()
    poller.poll()
    end()
    poller.close()
    ours.close()


@block("subprocess")
def running_child(seconds):
    begin()
    subprocess.run(["sleep", str(seconds)], check=True)
    end()


@block("lock", prepare=helper.held_lock)
def waiting_for_lock(_seconds, go, lock):
    begin()
    go()
    lock.acquire()
    end()


@block("lock", prepare=helper.unset_event)
def waiting_for_event(_seconds, go, event):
    begin()
    go()
    event.wait()
    end()


# The thread computes.


@block("cpu", "native")
def counting(seconds):
    stop = begin() + seconds * 1e9
    n = 0
    while clock() < stop:
        n += 1
    end()
    return n


@block("cpu", "native")
def encoding_in_python(seconds):
    document = {"key%d" % n: [n, str(n), None] for n in range(50)}
    stop = begin() + seconds * 1e9
    while clock() < stop:
        json.dumps(
            document,
            indent=1,
        )
    end()


@functools.lru_cache(maxsize=None)
def per_second(work, argument):
    """How often work(argument) fits into a second of a CPU."""
    best = float("inf")
    for _ in range(3):
        start = time.thread_time_ns()
        work(argument)
        best = min(best, time.thread_time_ns() - start)
    return 1e9 / best


SAMPLE = tuple(range(100000, 150000))


def document_for(seconds):
    size = int(len(SAMPLE) * seconds * per_second(json.dumps, SAMPLE)) + 1
    return (SAMPLE * (size // len(SAMPLE) + 1))[:size],


@block("native", "cpu", prepare=document_for)
def encoding_in_c(_seconds, document):
    begin()
    json.dumps(document)
    end()


def derive(rounds):
    return hashlib.pbkdf2_hmac("sha256", b"password", b"salt", rounds)


@block("native", "cpu", prepare=lambda seconds: (int(5000 * seconds * per_second(derive, 5000)) + 1,))
def hashing(_seconds, rounds):
    begin()
    hashlib.pbkdf2_hmac("sha256", b"password", b"salt", rounds)
    end()


NOISE = bytes(range(256)) * 4096


@block("native", "cpu")
def compressing(seconds):
    stop = begin() + seconds * 1e9
    while clock() < stop:
        zlib.compress(NOISE[:65536], 9)
    end()


def search(subject):
    return re.search("a+b", subject)


def subject_for(seconds):
    # The time grows with the square of the length.
    return "a" * int(2000 * (seconds * per_second(search, "a" * 2000)) ** 0.5),


@block("native", "cpu", prepare=subject_for)
def matching(_seconds, subject):
    begin()
    re.search("a+b", subject)
    end()


HEAP = [[n] for n in range(20000)]


@block("gc", "cpu", "native")
def collecting(seconds):
    stop = begin() + seconds * 1e9
    while clock() < stop:
        gc.collect()
    end()


# The way to the blocking statement is unusual.


def touch_stack(_seconds, depth=1100):
    # A thread's first deep recursion has the kernel provide its stack, which takes milliseconds.
    return touch_stack(_seconds, depth - 1) if depth else ()


@block("sleep", prepare=touch_stack)
def deep_in_recursion(seconds, depth=1000):
    if depth:
        return deep_in_recursion(seconds, depth - 1)
    begin()
    time.sleep(seconds)
    end()


def items(seconds):
    yield 1
    begin()
    time.sleep(seconds)
    end()
    yield 2


@block("sleep")
def in_generator(seconds):
    return sum(items(seconds))


async def innermost(seconds):
    begin()
    time.sleep(seconds)
    end()


async def middle(seconds):
    await innermost(seconds)


@block("sleep")
async def in_coroutine(seconds):
    await middle(seconds)


@block("sleep")
def in_comprehension(seconds):
    return [(begin(), time.sleep(seconds), end()) for _ in "x"]


@block("sleep")
def in_generator_expression(seconds):
    return list((begin(), time.sleep(seconds), end()) for _ in "x")


@block("sleep")
def in_lambda(seconds):
    (lambda: (begin(), time.sleep(seconds), end()))()


@block("sleep")
def in_sort_key(seconds):
    def key(_item):
        begin()
        time.sleep(seconds)
        end()

    sorted("x", key=key)


@block("sleep")
def in_map(seconds):
    def double(_item):
        begin()
        time.sleep(seconds)
        end()

    list(map(double, "x"))


@block("sleep")
def in_substitution(seconds):
    def replace(_match):
        begin()
        time.sleep(seconds)
        end()
        return ""

    re.sub("x", replace, "x")


class Outer:
    class Inner:
        def __init__(self, seconds):
            self.seconds = seconds

        def __lt__(self, other):
            begin()
            time.sleep(self.seconds)
            end()
            return True

        @property
        def value(self):
            begin()
            time.sleep(self.seconds)
            end()
            return 1

        def __del__(self):
            if self.seconds:
                begin()
                time.sleep(self.seconds)
                end()


@block("sleep")
def in_comparison(seconds):
    # One comparison and one only: the second item has nothing to wait for.
    pair = [Outer.Inner(0), Outer.Inner(seconds)]
    pair.sort()
    pair[0].seconds = pair[1].seconds = 0


@block("sleep")
def in_property(seconds):
    inner = Outer.Inner(seconds)
    inner.value
    inner.seconds = 0


@block("sleep")
def in_finaliser(seconds):
    Outer.Inner(seconds)


@contextlib.contextmanager
def managed(seconds):
    yield
    begin()
    time.sleep(seconds)
    end()


@block("sleep")
def in_context_manager(seconds):
    with managed(seconds):
        pass


def partly(_first, seconds):
    try:
        raise KeyError(seconds)
    except KeyError as failure:
        begin()
        time.sleep(failure.args[0])
        end()


@block("sleep")
def in_partial(seconds):
    functools.partial(partly, None)(seconds)


HERE = os.path.dirname(os.path.abspath(__file__))


def far_down_the_file(name, path, lines):
    """A function of a file that is made here, its blocking line far below its first."""
    source = "def {0}(seconds):\n{1}    begin()\n    time.sleep(seconds)\n    end()\n".format(
        name, "    x = 0\n\n" * lines
    )
    path = os.path.join(HERE, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    # Whole at once: other programs make it, too, and its lines are counted.
    with tempfile.NamedTemporaryFile("w", dir=os.path.dirname(path), encoding="utf-8", delete=False) as f:
        f.write(source)
    os.rename(f.name, path)
    scope = {"begin": begin, "end": end, "time": time}
    exec(compile(source, path, "exec"), scope)
    return scope[name]


def without_a_file(source, name):
    """A function of code that was compiled from no file, as the methods of a dataclass are."""
    scope = {"time": time}
    exec(compile(source, "<compiled at run time>", "exec"), scope)
    return scope[name]


sleep_without_a_file = without_a_file("def made(seconds):\n    time.sleep(seconds)\n", "made")


@block("sleep")
def compiled(seconds):
    # Nobody can look up code without a file: the line to blame is this one, which calls it.
    begin()
    sleep_without_a_file(seconds)
    end()


block("sleep", name="far_down")(far_down_the_file("far_down", "application/far.py", 400))
block("sleep", name="latin")(far_down_the_file("größe", "größe/naïve.py", 3))
block("sleep", name="cyrillic")(far_down_the_file("ожидание", "модуль/файл.py", 3))
block("sleep", name="astral")(far_down_the_file("\U00020000\U00020001", "\U0001f40d/蛇.py", 3))
block("sleep", name="long_name")(far_down_the_file("long_" * 40, "deep/" * 40 + "end.py", 3))


IMPORTED = """import time
from record import begin, end
begin()
time.sleep({0!r})
end()
"""


def module_to_import(seconds):
    directory = tempfile.mkdtemp(prefix="loopwatch-import-")
    module = "slow_%d" % clock()
    with open(os.path.join(directory, module + ".py"), "w") as f:
        f.write(IMPORTED.format(seconds))
    sys.path.insert(0, directory)
    return directory, module


@block("import", "sleep", prepare=module_to_import)
def importing(_seconds, directory, module):
    importlib.import_module(module)
    sys.path.remove(directory)
