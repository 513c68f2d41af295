#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What asyncio's debug mode costs: CPU time a request of an asyncio server with it and without.

Usage: debugmode.py [ROUNDS]. Needs no privileges; docs/comparison.md has what came out. Both servers
run all the time and are loaded in turns, every second round the other way round; the figure is the
CPU time of the server's thread as the kernel counts it.
"""
import os
import pathlib
import selectors
import socket
import statistics
import subprocess
import sys

SERVER = pathlib.Path(__file__).parent.parent / "bench/programs/server.py"
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
REQUESTS = 1500  # a stretch


class Server:
    def __init__(self, debug):
        env = {name: value for name, value in os.environ.items() if name != "PYTHONASYNCIODEBUG"}
        if debug:
            env["PYTHONASYNCIODEBUG"] = "1"
        self.process = subprocess.Popen([sys.executable, SERVER], env=env, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.port = int(self.process.stdout.readline())

    def cpu_ns(self):
        with open(f"/proc/{self.process.pid}/schedstat") as f:
            return int(f.read().split()[0])

    def load(self, connections):
        """Returns the CPU time of a request in microseconds."""
        before = self.cpu_ns()
        with selectors.DefaultSelector() as selector:
            open_ = [socket.create_connection(("127.0.0.1", self.port)) for _ in range(connections)]
            for s in open_:
                s.sendall(REQUEST)
                selector.register(s, selectors.EVENT_READ)
            answered = 0
            while answered < REQUESTS:
                for key, _ in selector.select():
                    if not key.fileobj.recv(1 << 16):
                        sys.exit("debugmode: the server has closed a connection")
                    answered += 1
                    key.fileobj.sendall(REQUEST)
            for s in open_:
                s.close()
        return (self.cpu_ns() - before) / answered / 1000


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    plain, debug = Server(False), Server(True)
    try:
        for connections in (16, 1):
            plain.load(connections), debug.load(connections)  # warm up
            ratios, without, with_ = [], [], []
            for i in range(rounds):
                if i % 2:
                    d, p = debug.load(connections), plain.load(connections)
                else:
                    p, d = plain.load(connections), debug.load(connections)
                without.append(p), with_.append(d), ratios.append(d / p)
            low, middle, high = statistics.quantiles(ratios, n=4)
            print(f"{connections} connections: {statistics.median(without):.1f} us a request without, "
                  f"{statistics.median(with_):.1f} us with, ratio {middle:.2f} ({low:.2f} to {high:.2f})")
    finally:
        plain.process.kill()
        debug.process.kill()


if __name__ == "__main__":
    main()
