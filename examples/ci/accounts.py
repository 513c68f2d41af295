# SPDX-License-Identifier: Apache-2.0
"""Accounts of a chat server, kept in memory."""

import asyncio
import hashlib
import hmac
import os
import time


def slow_enough():
    """Returns how many rounds it takes on this machine to cost whoever guesses a good fifth of a second each time."""
    rounds, spent = 50_000, 0
    while spent < 0.2:
        rounds *= 2
        started = time.thread_time()
        hashlib.pbkdf2_hmac("sha256", b"guess", b"salt", rounds)
        spent = time.thread_time() - started
    return rounds


ROUNDS = slow_enough()


class Accounts:
    def __init__(self):
        self._known = {}
        self._changed = asyncio.Condition()

    async def register(self, name, password):
        salt = os.urandom(16)
        digest = self._digest(password, salt)  # blocks the loop
        async with self._changed:
            self._known[name] = salt, digest
            self._changed.notify_all()

    async def login(self, name, password):
        if name not in self._known:
            return False
        salt, digest = self._known[name]
        return hmac.compare_digest(digest, await asyncio.to_thread(self._digest, password, salt))

    async def wait_for(self, name):
        async with self._changed:
            await self._changed.wait_for(lambda: name in self._known)

    @staticmethod
    def _digest(password, salt):
        return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ROUNDS)
