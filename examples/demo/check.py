# SPDX-License-Identifier: Apache-2.0
"""Compares a report with what is planted: check.py REPORT REQUESTS.

REPORT is what `loopwatch report -f json` wrote, REQUESTS what load.py printed. Each planted line in app.py says
in its comment which path reaches it, and which cause is right. Ends with status 1 where something is missing.
"""
import collections
import json
import pathlib
import re
import sys

APP = pathlib.Path(__file__).with_name("app.py")
PLANTED = re.compile(r" *(.*?)  # (/\w+) blocks the loop: (.*)")
STARVED = "runqueue", "throttled"  # by contract such a block has no culprit: no line is to blame

with open(sys.argv[1]) as file:
    report = json.load(file)
with open(sys.argv[2]) as file:
    requests = [line.split() for line in file]
planted = [(line, *match.groups()) for line, text in enumerate(APP.read_text().splitlines(), 1) if (match := PLANTED.match(text))]
if len(planted) != 3:
    sys.exit(f"check: {len(planted)} lines of {APP} are marked as planted, not 3")


def on_line(frame, line):
    return frame is not None and frame["line"] == line and pathlib.PurePath(frame["file"]).name == APP.name


def found(block, line, causes):
    """Whether a block shows the line as it should: as its culprit, or where other processes had the CPU on one of its stacks."""
    if block["cause"] in STARVED:
        return any(on_line(frame, line) for stack in block["stacks"] for frame in stack["frames"])
    return block["cause"] in causes and on_line(block["culprit"], line)


def block_during(request, line, causes):
    """The block that shows the line while the request was under way, or None."""
    _, asked, answered = request
    for block in report["blocks"]:
        middle = block["start_ns"] + block["duration_ns"] // 2
        if int(asked) < middle < int(answered) and found(block, line, causes):
            return block
    return None


def within(request):
    _, asked, answered = request
    return report["started_ns"] < int(asked) and int(answered) < report["ended_ns"]


seconds = (report["ended_ns"] - report["started_ns"]) / 1e9
print(f"Planted in examples/demo/app.py, and found in these {seconds:.0f} seconds:")
missing = starved = False
for line, code, path, expected in planted:
    # What was under way at the start or the end may have a block that is too short by then, or none.
    pairs = [(request, block_during(request, line, expected.split(" or "))) for request in requests if request[0] == path]
    blocks = [block for request, block in pairs if block or within(request)]
    causes = collections.Counter(block["cause"] for block in blocks if block)
    times = ", ".join(f"{n} x {cause}" for cause, n in causes.most_common()) or "nothing"
    print(f"  {'found' if causes else 'MISSED':6}  line {line}: {code}")
    print(f"          expected {expected}; reached {len(blocks)} x, found {times}")
    missing = missing or not causes
    starved = starved or any(cause in causes for cause in STARVED)
if starved:
    print("This machine was busy. Where it says runqueue or throttled, the loop waited for a CPU for most of the block:")
    print("no line is to blame for that, but the planted line is on the stack of the block.")
bare = [b for b in report["blocks"] if not b["stacks"]]
if bare:
    print(f"MISSED: the stack of {len(bare)} of {len(report['blocks'])} blocks.")
sys.exit(1 if missing or bare else 0)
