"""Import modules whose code takes its time and is gone when the import ends.

usage: imports.py SECONDS ROUNDS [KIND ...]: blocks of 1.25 to 2 times SECONDS (long_: 8 times that), one of
each kind a round.

Prints "ready", waits for the end of its stdin, and prints a JSON line for each block as truth.py does.
Of the modules of one block each takes its time in a line of its own; the one to name is the one that
took most.
"""

import asyncio
import importlib
import json
import os
import random
import sys
import tempfile
import time

import record
from record import begin, clock, end

QUIET = 0.02

HEAD = "import time\nfrom record import begin, clock, end\n"
SLEEP = "begin()\ntime.sleep({0!r})\nend()\n"
# As long as the CPU time says: a thread that is not let run computes no less for that.
COMPUTE = "begin()\nstop = time.thread_time() + {0!r}\nwhile time.thread_time() < stop: pass\nend()\n"

made = 0


def write_module(directory, source):
    global made
    made += 1
    name = "slow_%08d" % made
    with open(os.path.join(directory, name + ".py"), "w") as f:
        f.write(source)
    return name


def chain(directory, work, seconds, depth):
    """Modules that import one another; the innermost one works."""
    name = write_module(directory, HEAD + work.format(seconds))
    for _ in range(depth):
        name = write_module(directory, "import %s\n" % name)
    return name


def siblings(directory, work, seconds, count):
    """A module that imports others, of which the first takes most."""
    shares = [2.0] + [1.0] * (count - 1)
    names = [write_module(directory, HEAD + work.format(seconds * s / sum(shares))) for s in shares]
    return write_module(directory, "".join("import %s\n" % n for n in names))


def long_chain(directory, work, seconds, depth):
    """Long enough for a busy machine to look at it while it goes on."""
    return chain(directory, work, 8 * seconds, depth)


def executed(_directory, work, seconds, _):
    return compile(HEAD + work.format(seconds), "<rule %d>" % clock(), "exec")


def importing(module):
    importlib.import_module(module)


def executing(code):
    exec(code, {})


KINDS = {
    "module_sleeps": (importing, chain, SLEEP, (0, 0), "sleep"),
    "module_computes": (importing, chain, COMPUTE, (0, 0), "cpu"),
    "deep_module_sleeps": (importing, chain, SLEEP, (1, 12), "sleep"),
    "deep_module_computes": (importing, chain, COMPUTE, (1, 12), "cpu"),
    "long_deep_module_sleeps": (importing, long_chain, SLEEP, (1, 4), "sleep"),
    "siblings_sleep": (importing, siblings, SLEEP, (3, 4), "sleep"),
    "siblings_compute": (importing, siblings, COMPUTE, (3, 4), "cpu"),
    "rule_sleeps": (executing, executed, SLEEP, (0, 0), "sleep"),
    "rule_computes": (executing, executed, COMPUTE, (0, 0), "cpu"),
}


def tell(entry):
    os.write(1, (json.dumps(entry) + "\n").encode())


def told_to_go():
    try:
        return os.read(0, 1) == b""
    except BlockingIOError:
        return False


async def main():
    threshold, rounds, kinds = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] or list(KINDS)
    chance = random.Random(1)
    directory = tempfile.mkdtemp(prefix="loopwatch-import-")
    sys.path.insert(0, directory)
    sys.dont_write_bytecode = True
    tell({"event": "ready"})
    while not told_to_go():
        await asyncio.sleep(QUIET)
    known = set(sys.modules)
    for _ in range(rounds):
        for kind in kinds:
            block, prepare, work, (least, most), cause = KINDS[kind]
            subject = prepare(directory, work, chance.uniform(1.25, 2.0) * threshold, chance.randint(least, most))
            importlib.invalidate_caches()
            await asyncio.sleep(QUIET)
            delay = record.run_delay()
            block(subject)
            entry = record.take(kind, ("import",) if block is importing else (cause, "native"))
            entry["run_delay_ns"] = record.run_delay() - delay
            entry["written_ns"] = clock()
            subject = None
            tell(entry)
            await asyncio.sleep(QUIET)
            for name in set(sys.modules) - known:
                del sys.modules[name]
    await asyncio.sleep(0.3)
    now = clock()
    tell({"event": "done", "start_ns": now, "end_ns": now, "written_ns": now})


if __name__ == "__main__":
    os.set_blocking(0, False)
    asyncio.run(main())
