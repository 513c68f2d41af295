# SPDX-License-Identifier: Apache-2.0
"""Code and stacks made to cost who names them.

usage: code.py ATTACK
"""

import asyncio
import random
import sys
import time
import types

from common import beat, ready, run


def lines():
    """A loop whose stack has 256 code objects of line tables of 4 MiB each, which do not come to the line."""
    table = bytes([0x80 | 15 << 3] * ((4 << 20) - 16))  # entries for one instruction without a line
    made = []

    def layer(n):
        if n < 0:
            time.sleep(0.15)
        else:
            made[n](n - 1)

    for n in range(256):
        made.append(types.FunctionType(layer.__code__.replace(co_linetable=table, co_name="layer%d" % n), {"made": made, "time": time}, closure=layer.__closure__))

    def act():
        # New ones each time: what is known of them helps nobody.
        n = random.randrange(256)
        made[n] = types.FunctionType(made[n].__code__.replace(co_firstlineno=random.randrange(1 << 20)), made[n].__globals__, closure=layer.__closure__)
        made[255](254)

    beat(act=act)


def deep():
    """A stack of 100,000 frames that is another one each time."""
    sys.setrecursionlimit(200_000)
    functions = []
    for n in range(1000):
        space = {"functions": functions, "random": random, "time": time, "sys": sys}
        exec(compile("\n" * n + """
def down%d(n):
    if n:
        functions[n %% 1000](n - 1)
    else:
        time.sleep(0.15)
""" % n, "/srv/deep%d.py" % n, "exec"), space)
        functions.append(space["down%d" % n])

    def act():
        random.shuffle(functions)
        functions[0](100_000)

    beat(act=act)


run({"lines": lines, "deep": deep})
