# SPDX-License-Identifier: Apache-2.0
"""Loops whose blocks are easily blamed on the wrong line: places.py SHAPE SECONDS.

Writes a JSON line for each block: when it was, its cause, and the function to blame, null where no line is. A shape that this
interpreter cannot have writes nothing.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile

SITE = "lib/python3.%d/site-packages" % sys.version_info[1]

TIMES = '''
import asyncio, json, os, sys, threading, time
SECONDS = float(os.environ["BLOCK"])

def block(function, *args, name=None, causes=("sleep",), **more):
    start = time.monotonic_ns()
    function(*args)
    end = time.monotonic_ns()
    said = dict(start_ns=start, end_ns=end, function=name, causes=causes, pid=os.getpid(), tid=threading.get_native_id(), **more)
    os.write(1, (json.dumps(said) + chr(10)).encode())
'''

# An application that is installed, with a library that it calls.
INSTALLED = {
    "times.py": TIMES,
    "pricelib/__init__.py": "import time\ndef download(seconds): time.sleep(seconds)\n",
    "shop/__init__.py": "",
    "shop/views.py": "import pricelib\ndef load_prices(seconds): pricelib.download(seconds)\n",
    "shop/main.py": '''
import asyncio, threading, times
from shop import views

async def serve():
    await asyncio.sleep(0.3)
    for _ in range(3):
        times.block(views.load_prices, times.SECONDS, name="load_prices")
        await asyncio.sleep(0.1)

def main(): asyncio.run(serve())

def in_a_thread():
    thread = threading.Thread(target=main)
    thread.start()
    thread.join()

def spawned():
    import multiprocessing
    child = multiprocessing.get_context("spawn").Process(target=main)
    child.start()
    child.join()
''',
    "shop/__main__.py": "from shop.main import main\nmain()\n",
    # A framework that everybody knows, and one that nobody does.
    "starlette/__init__.py": "import asyncio\nasync def call(handler): await handler()\ndef run(handler): asyncio.run(call(handler))\n",
    "hostfw/__init__.py": "import asyncio\nasync def call(handler): await handler()\ndef run(handler): asyncio.run(call(handler))\n",
}
FROM_SOURCE = {
    "shop-1.0.dist-info/direct_url.json": '{"url": "file:///src/shop", "dir_info": {}}',
    "shop-1.0.dist-info/RECORD": "shop/__init__.py,,\nshop/views.py,,\nshop/main.py,,\n",
}
SCRIPTS = {
    "script": "import sys\nfrom shop.main import main\nsys.exit(main())\n",
    "thread": "import sys\nfrom shop.main import in_a_thread\nsys.exit(in_a_thread())\n",
    "spawn": "import sys\nfrom shop.main import spawned\nif __name__ == '__main__': sys.exit(spawned())\n",
    "framework": "import starlette, shop.main\nstarlette.run(shop.main.serve)\n",
    "source": "import hostfw, shop.main\nhostfw.run(shop.main.serve)\n",
}

# Programs of one file, which the loop runs in.
FILES = {
    # The loop calls a function of C: no line of the application's stands inside it.
    "builtin": '''
from times import *

async def main():
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0.3)
    for _ in range(3):
        done = loop.create_future()
        start = time.monotonic_ns()
        loop.call_soon(time.sleep, SECONDS)
        loop.call_soon(done.set_result, None)
        await done
        os.write(1, (json.dumps(dict(start_ns=start, end_ns=time.monotonic_ns(), function=None, called="time.sleep", causes=["sleep"], pid=os.getpid())) + chr(10)).encode())
        await asyncio.sleep(0.1)

def start_service(): asyncio.run(main())
start_service()
''',
    # In debug mode asyncio keeps where that was scheduled.
    "debug": '''
from times import *

def schedule(loop, *call):
    loop.call_soon(*call)

async def main():
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0.3)
    for _ in range(3):
        done = loop.create_future()
        start = time.monotonic_ns()
        schedule(loop, time.sleep, SECONDS)
        loop.call_soon(done.set_result, None)
        await done
        os.write(1, (json.dumps(dict(start_ns=start, end_ns=time.monotonic_ns(), function=None, called="time.sleep", scheduled="schedule", causes=["sleep"], pid=os.getpid())) + chr(10)).encode())
        await asyncio.sleep(0.1)

asyncio.run(main(), debug=True)
''',
    # A package of the application's is called as one of the standard library's.
    "own": '''
from times import *
import shop.asyncio.events

async def main():
    await asyncio.sleep(0.3)
    for _ in range(3):
        block(shop.asyncio.events._run, SECONDS, name="_run")
        await asyncio.sleep(0.1)

asyncio.run(main())
''',
    # A reply is waited for in slices, all of which but the last end by timeout.
    "slices": '''
from times import *
import queue

requests = queue.SimpleQueue()

def read_replies():
    while True:
        seconds, reply = requests.get()
        time.sleep(seconds)
        reply.set()

def call_billing(seconds):
    reply = threading.Event()
    requests.put((seconds, reply))
    while not reply.wait(seconds / 4.3): pass

async def main():
    threading.Thread(target=read_replies, daemon=True).start()
    await asyncio.sleep(0.3)
    for _ in range(3):
        block(call_billing, SECONDS, name="call_billing", causes=["lock"], holder="read_replies")
        await asyncio.sleep(0.1)

asyncio.run(main())
''',
    # A thread is nothing but uvloop's run_forever.
    "uvloop": '''
from times import *
try: import uvloop
except ImportError: sys.exit()

async def serve():
    await asyncio.sleep(0.3)
    for _ in range(3):
        block(ask_flags, SECONDS, name="ask_flags")
        await asyncio.sleep(0.1)

def ask_flags(seconds): time.sleep(seconds)

loop = uvloop.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()
asyncio.run_coroutine_threadsafe(serve(), loop).result()
''',
    # The loop runs in a second interpreter of the process, on the main thread.
    "subinterpreter": '''
from times import *
try: import _xxsubinterpreters as interpreters
except ImportError: import _interpreters as interpreters

CODE = """
import sys
sys.path[:] = %r
from times import *

def call_backend(seconds): time.sleep(seconds)

async def main():
    await asyncio.sleep(0.3)
    for _ in range(3):
        block(call_backend, SECONDS, name="call_backend")
        await asyncio.sleep(0.1)

loop = asyncio.new_event_loop()
loop.run_until_complete(main())
loop.close()
""" % sys.path
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inner.py")
with open(path, "w") as f: f.write(CODE)
interpreters.run_string(interpreters.create(), "import runpy; runpy.run_path(%r)" % path)
os._exit(0)  # some releases do not end cleanly with an interpreter left, nor without
''',
    # The line is one of a template, which was compiled: of one without a file, nobody's to look up.
    "template": '''
from times import *
import jinja2, mako.lookup, tornado.template

TEMPLATES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "templates")
jinja = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES))
LIST = os.path.join(TEMPLATES, "list.html")
ROW = os.path.join(TEMPLATES, "row.html")
PAGE = os.path.join(TEMPLATES, "page.mako")
text = jinja2.Environment(loader=jinja2.DictLoader({"text.html": "{{ sleep(seconds) }}"})).get_template("text.html")

def render_text(**values): text.render(**values)

WAYS = [
    (jinja.get_template("list.html").render, "root", LIST, 5),
    (jinja.get_template("child.html").render, "block_body", os.path.join(TEMPLATES, "child.html"), 4),
    (render_text, "render_text", os.path.abspath(__file__), render_text.__code__.co_firstlineno),
    (tornado.template.Loader(TEMPLATES).load("outer.html").generate, "_tt_execute", ROW, 3),
    (mako.lookup.TemplateLookup([TEMPLATES]).get_template("page.mako").render, "render_body", PAGE, 5),
]

async def main():
    await asyncio.sleep(0.3)
    for render, name, file, line in WAYS:
        block(lambda: render(sleep=time.sleep, seconds=SECONDS, items=[1]), name=name, file=file, line=line)
        await asyncio.sleep(0.1)

asyncio.run(main())
''',
    # The loop runs while a module is imported: only an import inside the loop counts.
    "import": "import importlib\nimportlib.import_module('imported')\n",
}
MODULES = {
    "templates/list.html": "<ul>\n{% for item in items %}\n\n<li>{{ item }}\n{{ sleep(seconds) }}\n{% endfor %}\n",
    "templates/base.html": "<body>\n{% block body %}{% endblock %}\n",
    "templates/child.html": "{% extends 'base.html' %}\n{% block body %}\n\n{{ sleep(seconds) }}\n{% endblock %}\n",
    "templates/outer.html": "<ul>\n{% for item in items %}{% include row.html %}{% end %}\n",
    "templates/row.html": "<li>\n\n{{ sleep(seconds) }}\n",
    "templates/page.mako": "<ul>\n\n<% n = 1 %>\n% for item in items:\n ${sleep(seconds)}\n% endfor\n",
    "shop/asyncio/__init__.py": "",
    "shop/asyncio/events.py": "import time\ndef _run(seconds): time.sleep(seconds)\n",
    "imported.py": '''
from times import *

def ask(seconds): time.sleep(seconds)

async def main():
    await asyncio.sleep(0.3)
    for _ in range(3):
        block(ask, SECONDS, name="ask")
        await asyncio.sleep(0.1)

asyncio.run(main())
''',
}


def write(root, files):
    for name, text in files.items():
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)


def main(shape, seconds):
    root = tempfile.mkdtemp(prefix="loopwatch-places-")
    site = os.path.join(root, SITE)
    environment = dict(os.environ, BLOCK=seconds, PYTHONDONTWRITEBYTECODE="1", PYTHONPATH=site)
    if shape in FILES:
        write(root, MODULES)
        write(root, {"times.py": TIMES, "shop/__init__.py": "", "app.py": FILES[shape]})
        # Packages that this interpreter may lack lie beside this program.
        environment["PYTHONPATH"] = root + ":" + os.path.join(os.path.dirname(os.path.abspath(__file__)), "site-packages")
        command = [os.path.join(root, "app.py")]
    else:
        write(site, INSTALLED)
        if shape == "source":
            write(site, FROM_SOURCE)
        # Not called shopd: the name must not be what tells.
        write(os.path.join(root, "bin"), {"serve": SCRIPTS.get(shape, "")})
        command = ["-m", "shop"] if shape == "module" else [os.path.join(root, "bin/serve")]
    subprocess.call([sys.executable] + command, env=environment)
    shutil.rmtree(root)


main(*sys.argv[1:])
