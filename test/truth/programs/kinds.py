"""The register of ways to block a loop that causes.py plays, and what each says about itself.

A kind blocks between record.begin() and record.end(). Beside when and where, it logs the evidence a
report has to name, some of it known from the start and some only while it runs (say):

cause    why, the best answer first; another is listed only where it is as true, with the reason
target   what a descriptor or child it waited for is called, as a pattern
holder   the thread that held what it waited for: tid, name, and functions it may have stood in
native   the module it computed in, as a pattern
nobody   that no line of the loop is to blame
advice   what the remedy must mention, as a pattern
"""

import importlib.util
import os
import threading

from record import PROC

KINDS = []

_said = {}
_afterwards = []


class Kind:
    def __init__(self, function, causes, prepare, modules, needs, path, exclusive, facts):
        self.kind = function.__name__
        self.function = function
        self.causes = causes
        self.prepare = prepare
        self.modules = modules
        self.needs = needs
        self.path = path
        self.exclusive = exclusive or bool({"cpu", "native", "gc", "import", "gil"} & set(causes))
        self.facts = facts

    @property
    def stdlib(self):
        return not self.modules and not self.needs

    def playable(self):
        return os.path.exists(self.path) and all(os.environ.get(name) for name in self.needs) and all(
            importlib.util.find_spec(name) for name in self.modules
        )


def kind(*causes, prepare=None, modules=(), needs=(), path="/", exclusive=False, **facts):
    """Register a function. It is left out where a module, a variable of the environment or a path is
    missing, and played while no other program computes where exclusive."""

    def register(function):
        KINDS.append(Kind(function, causes, prepare, modules, needs, path, exclusive, facts))
        return function

    return register


def say(**facts):
    """Add to the log entry of the block that this thread is about to make or has just made."""
    _said.setdefault(threading.get_ident(), {}).update(facts)


def afterwards(function):
    """Call it in an iteration of its own."""
    _afterwards.append(function)


def tidy():
    while _afterwards:
        _afterwards.pop()()


def said():
    return _said.pop(threading.get_ident(), {})


def tcp(port, host=r"127\.0\.0\.1"):
    return r"^tcp %s:%d$" % (host, port)


def ending(path):
    """The path, seen from inside or from outside of the program's root."""
    return "(^| )(/.*)?%s$" % path.replace(".", r"\.")


def name_thread(name):
    """Call the running thread so; interpreters before 3.14 do not tell the kernel themselves."""
    threading.current_thread().name = name
    fd = os.open("self/task/%d/comm" % threading.get_native_id(), os.O_WRONLY, dir_fd=PROC)
    os.write(fd, name.encode())
    os.close(fd)
