"""Blocks threads in as many kinds of places as there are, and says where.

Every scenario runs in a thread of its own and ends up in block(), which notes the frames as
Python itself sees them and then sleeps, on one line, so that the note holds while it sleeps.
"""
import contextlib
import functools
import json
import re
import sys
import threading
import time

noted = {}


def note():
    frames, f = [], sys._getframe(1)
    while f is not None:
        code = f.f_code
        frames.append({
            "function": getattr(code, "co_qualname", code.co_name), "name": code.co_name,
            "file": code.co_filename, "line": f.f_lineno, "first": code.co_firstlineno,
        })
        f = f.f_back
    noted[threading.current_thread().name] = {
        "id": threading.get_ident(), "native": threading.get_native_id(), "frames": frames}


def block(*unused, **ignored):
    note(); time.sleep(3600)


scenarios = []


def scenario(f):
    scenarios.append(f)
    return f


@scenario
def recursion(n=1000):
    if n:
        return recursion(
            n - 1
        )
    block()


def numbers():
    yield 1
    for i in range(3):
        x = (yield
             i)
        block()


def delegating():
    yield 0

    yield from numbers()


@scenario
def generator():
    for _ in numbers():
        pass


@scenario
def delegation():
    g = delegating()
    next(g)
    for _ in g:
        pass


class Awaitable:
    def __await__(self):
        yield 1
        block()


async def inner(a, b=2):
    await Awaitable(
    )


async def outer():
    async with contextlib.AsyncExitStack():
        pass
    try:
        await inner(
            1)
    finally:
        pass


@scenario
def coroutine():
    c = outer()
    c.send(None)
    c.send(None)


async def agen():
    yield 1
    block()


async def consume():
    async for _ in agen():
        _ = 1


@scenario
def async_generator():
    consume().send(None)


@scenario
def list_comprehension():
    return [
        i for i in range(3)
        if
        block(i)
    ]


@scenario
def nested_comprehension():
    return {k: [
        block(k)
        for _ in range(2)] for k in range(2)}


@scenario
def generator_expression():
    return sum(
        block() for _ in range(2))


@scenario
def sort_key():
    sorted([3, 1, 2],
           key=block)


@scenario
def mapped():
    list(map(lambda x:
             block(x), [1, 2]))


@scenario
def substitute():
    def repl(m):
        if m:

            block()
    re.sub("a+", repl,
           "caat")


@scenario
def executed():
    exec(compile("def f(n):\n\n  if n: f(n-1)\n\n  else:\n    block()\n\n\nf(3)\n", "<made at run time>", "exec"), globals())


@scenario
def evaluated():
    eval("[block\n()]")


@scenario
def lambdas():
    (lambda: (lambda:
              block())())()


@scenario
def class_body():
    class Outer:
        x = 1

        class Inner:
            y = 2
            z = block()


def decorator(arg):
    def wrap(f):
        @functools.wraps(f)
        def wrapper(*args, **kwargs):
            return f(
                *args, **kwargs)
        return wrapper
    return wrap


@decorator(1)
@decorator(
    2)
def decorated(*, key):
    block()


@scenario
def decorators():
    decorated(key=1)


class Thing:
    @property
    def value(self):
        return block()

    def __getattr__(self, name):
        return self.value

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        block()

    def __del__(self):
        block()

    @classmethod
    def make(cls):
        return cls().missing

    @staticmethod
    def still():
        block()

    def __eq__(self, other):
        block()

    def __hash__(self):
        return 1


@scenario
def properties():
    return Thing.make()


@scenario
def static():
    Thing.still()


@scenario
def exit_of_with():
    with Thing():
        if len("x"):
            pass


@scenario
def deletion():
    t = Thing()
    t = None


@scenario
def comparison_in_c():
    return {Thing(): 1,
            Thing(): 2}


@contextlib.contextmanager
def manager():
    try:
        yield
    finally:
        block()


@scenario
def context_manager():
    with manager():
        _ = 1


@scenario
def exception_handler():
    try:
        1 / 0
    except ZeroDivisionError:
        for _ in "ab":
            block(
                1,
                2)


@scenario
def f_string():
    return f"{1} {block()}"


@scenario
def closure():
    a = 1

    def one(b=a):
        c = a

        def two():
            nonlocal c
            c = b
            block()
        two()
    one()


@scenario
def many_arguments():
    def f(a, b, c, d, e, *args, g=1, **kw):
        block()
    f(1, 2, 3, *[4, 5, 6], **{"g": 1,
                               "h": 2})


@scenario
def partial():
    functools.partial(functools.partial(block, 1), 2)()


@scenario
def größe():
    def 高さ():
        def 𝔵𝔶():  # NFKC makes this "xy"
            def 𐐀𠀀():
                block()
            𐐀𠀀()
        𝔵𝔶()
    高さ()


@scenario
def long_name():
    name = "n" * 100000
    space = {"block": block}
    exec(compile("def %s():\n block()\n%s()" % (name, name), "<long>", "exec"), space)


@scenario
def long_wide_name():
    name = "高" * 5000
    space = {"block": block}
    exec(compile("def %s():\n block()\n%s()" % (name, name), "/tmp/" + "\U0001f40d" * 5000, "exec"), space)


@scenario
def odd_files():
    space = {"block": block}
    exec(compile("def f(): block()", "/tmp/\udcff-é.py", "exec"), space)
    exec(compile("def g(): f()", "/tmp/高.py", "exec"), space)
    exec(compile("def h(): g()", "", "exec"), space)
    exec(compile("def i(): h()", "/tmp/\x1b[31mred\n.py", "exec"), space)
    space["i"]()


class Subclass(str):
    pass


@scenario
def replaced_names():
    def f():
        block()
    new = {"co_name": Subclass("a subclass of str"), "co_filename": Subclass("/tmp/sub高.py"), "co_firstlineno": 7}
    if hasattr(f.__code__, "co_qualname"):
        new["co_qualname"] = Subclass("q\xe9")
    try:
        f.__code__ = f.__code__.replace(**new)
    except TypeError:  # where only exact strings are let in
        f.__code__ = f.__code__.replace(**{k: v + "" if isinstance(v, str) else v for k, v in new.items()})
    f()


@scenario
def huge_function():
    lines = ["def huge():", " x = 0"] + [" x = x + 1"] * 20000 + [" block()", "huge()"]
    exec(compile("\n".join(lines), "<huge>", "exec"), {"block": block})


@scenario
def far_line():
    exec(compile("\n" * 70000 + "def far():\n" + "\n" * 3000 + " block()\nfar()", "<far>", "exec"), {"block": block})


@scenario
def chained():
    (Thing
     .still
     .__call__
     ())


def loop():
    while True:
        for i in range(2):
            if i:
                return block() or [
                    1]


@scenario
def loops():
    loop()


threading.stack_size(64 << 20)
sys.setrecursionlimit(5000)
for f in scenarios:
    threading.Thread(target=f, name=f.__name__, daemon=True).start()


def rest():
    while len(noted) < len(scenarios):
        time.sleep(0.001)
    note(); print(json.dumps(noted)); time.sleep(3600)


rest()
