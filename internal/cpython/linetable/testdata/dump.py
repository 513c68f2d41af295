"""Writes the line table of every code object of the standard library, and what the
interpreter itself makes of it, to stdout.

usage: dump.py STRIDE    (take every STRIDE-th source file)

Stream, little endian: per code object four int32 (first line, number of 2-byte units,
length of the table, number of runs), two length-prefixed UTF-8 strings (file, name), the
table, the runs. A run is three int32: start, end (units, excluded), line or -1 for none.
A count of -1 for the first line, in an object of no units, ends the stream; its number of
runs is the number of objects sent.
"""
import ast
import importlib.util
import marshal
import os
import random
import struct
import sys
import warnings
from array import array

warnings.simplefilter("ignore")
stride = int(sys.argv[1])
out = open(1, "wb", buffering=1 << 20)
sent = 0
unit = 2

if sys.version_info >= (3, 10):
    def table(code):
        return code.co_linetable

    def runs(code):
        return [(s // unit, e // unit, -1 if line is None else line) for s, e, line in code.co_lines()]
else:
    # There is no co_lines() yet: ask the function that f_lineno of a running frame comes
    # from, for every single instruction.
    import ctypes

    addr2line = ctypes.pythonapi.PyCode_Addr2Line
    addr2line.argtypes = (ctypes.py_object, ctypes.c_int)
    addr2line.restype = ctypes.c_int

    def table(code):
        return code.co_lnotab

    def runs(code):
        return [(i, i + 1, addr2line(code, i * unit)) for i in range(len(code.co_code) // unit)]


def text(s):
    b = s.encode("utf-8", "backslashreplace")
    return struct.pack("<i", len(b)) + b


def send(code):
    global sent
    todo = [code]
    while todo:
        code = todo.pop()
        todo.extend(c for c in code.co_consts if hasattr(c, "co_code"))
        t, r = table(code), runs(code)
        flat = array("i", [n for run in r for n in run])
        out.write(struct.pack("<4i", code.co_firstlineno, len(code.co_code) // unit, len(t), len(r)))
        out.write(text(code.co_filename) + text(code.co_name))
        out.write(t)
        out.write(flat.tobytes())
        sent += 1


def load(path):
    """The code object of a source file: from its cache where there is one, which is quicker."""
    try:
        with open(importlib.util.cache_from_source(path), "rb") as f:
            data = f.read()
        if data[:4] == importlib.util.MAGIC_NUMBER:
            return marshal.loads(data[16:])
    except (OSError, ValueError, EOFError, TypeError):
        pass
    with open(path, "rb") as f:
        return compile(f.read(), path, "exec", dont_inherit=True)


def shuffled(path, rng):
    """The same program with wild line numbers: far jumps, backwards, all on one line."""
    with open(path, "rb") as f:
        tree = ast.parse(f.read(), path)
    reach = rng.choice([1, 3, 200, 70000, 2000000])
    for node in ast.walk(tree):
        if hasattr(node, "lineno"):
            node.lineno = rng.randint(1, reach)
            node.end_lineno = node.lineno + rng.choice([0, 0, 1, 90])
            node.col_offset, node.end_col_offset = 0, rng.choice([0, 5, 200])
    return compile(tree, path, "exec", dont_inherit=True)


rng = random.Random(1)
top = os.path.dirname(os.__file__)
n = 0
for where, dirs, files in os.walk(top):
    dirs[:] = sorted(d for d in dirs if d not in ("site-packages", "dist-packages", "__pycache__"))
    for name in sorted(files):
        if not name.endswith(".py"):
            continue
        n += 1
        if n % stride:
            continue
        path = os.path.join(where, name)
        try:
            send(load(path))
            if n // stride % 20 == 0:
                send(shuffled(path, rng))
        except (SyntaxError, ValueError, UnicodeDecodeError, RecursionError):
            pass  # the library has broken files on purpose, to test the compiler

out.write(struct.pack("<4i", -1, 0, 0, sent) + text("") + text(""))
out.flush()
