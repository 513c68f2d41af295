"""Whose turn it is to compute, among programs started side by side.

They would be in each other's way otherwise, and a loop that is not given a CPU is blocked, too.
"""

import fcntl

TOKEN = 3


def wait():
    try:
        fcntl.lockf(TOKEN, fcntl.LOCK_EX)
    except OSError:
        pass  # not given one: this program runs alone


def take():
    try:
        fcntl.lockf(TOKEN, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def drop():
    try:
        fcntl.lockf(TOKEN, fcntl.LOCK_UN)
    except OSError:
        pass
