# SPDX-License-Identifier: Apache-2.0

import asyncio

import pytest

from accounts import Accounts


@pytest.fixture
async def accounts():
    return Accounts()


async def test_nobody(accounts):
    assert not await accounts.login("nobody", "")


async def test_login(accounts):
    await accounts.register("ada", "lovelace")
    assert await accounts.login("ada", "lovelace")
    assert not await accounts.login("ada", "byron")


async def test_wait_for(accounts):
    waiting = asyncio.create_task(accounts.wait_for("grace"))
    await accounts.register("grace", "hopper")
    await waiting
