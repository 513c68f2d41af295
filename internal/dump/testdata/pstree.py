"""Has CPython itself look at the tasks of a program, and prints what it sees; see TestPstree."""

import json
import subprocess
import sys
from asyncio import tools

child = subprocess.Popen([sys.executable] + sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.readline()


def line(frame):
    return frame.location.lineno if hasattr(frame, "location") else frame.lineno


answer = {}
for thread in tools.get_all_awaited_by(child.pid):
    for task in thread.awaited_by:
        answer["0x%x" % task.task_id] = {
            "name": task.task_name,
            "stack": [[f.funcname, f.filename, line(f)] for c in task.coroutine_stack for f in c.call_stack],
            "awaited_by": sorted("0x%x" % c.task_name for c in task.awaited_by),
        }
print(json.dumps(answer), flush=True)
tree = subprocess.run([sys.executable, "-m", "asyncio", "pstree", str(child.pid)], stdout=subprocess.PIPE, check=True)
print(json.dumps(tree.stdout.decode().count("(T)")), flush=True)
child.kill()
child.wait()
