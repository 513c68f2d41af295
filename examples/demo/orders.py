# SPDX-License-Identifier: Apache-2.0
"""The shop's orders: as many as it takes for their export to block the loop, on a fast machine as on a slow one."""
import json
import time

THRESHOLD = 0.1  # seconds: loopwatch calls this a block, unless told otherwise
MOST = 100_000  # some 250 MB

ORDERS = [{"id": i, "items": [{"sku": f"sku-{j}", "count": j, "price": j * 1.19} for j in range(20)]} for i in range(100)]


def fill():
    """Takes orders until their export is long enough."""
    short = True
    while short:
        started = time.thread_time()
        json.dumps(ORDERS)
        short = add_if_short(time.thread_time() - started)


def add_if_short(spent):
    """Adds orders, and says so, where an export took less than two thresholds of CPU time.

    It is asked after each export: one that is measured while the machine is busy takes longer than later ones.
    """
    if spent >= 2 * THRESHOLD or len(ORDERS) >= MOST:
        return False
    wanted = int(len(ORDERS) * min(2, 2.5 * THRESHOLD / spent))
    ORDERS.extend(ORDERS[: wanted - len(ORDERS)])
    return True
