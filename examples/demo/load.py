# SPDX-License-Identifier: Apache-2.0
"""Load for the demo: load.py APP_PORT. Customers on threads, until it is killed."""
import sys
import threading
import time
import urllib.request

# Path, customers asking for it at once, seconds each thinks between two requests. The slow
# ones are rare enough that hardly two of them fall into the same iteration of the loop.
MIX = [("/health", 2, 0.05), ("/checkout", 1, 1.31), ("/price", 1, 1.73), ("/export", 1, 2.09)]


def customer(url, pause):
    while True:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                answer.read()
        except OSError as error:
            print(f"load: {url}: {error}", file=sys.stderr)
        time.sleep(pause)


for path, customers, pause in MIX:
    for _ in range(customers):
        threading.Thread(target=customer, args=(f"http://127.0.0.1:{sys.argv[1]}{path}", pause), daemon=True).start()
threading.Event().wait()
