# SPDX-License-Identifier: Apache-2.0
"""A small HTTP/1.1 server on asyncio streams: a request line, headers, a JSON answer.

Usage: server.py. Prints the port it listens on; ends with its stdin.
"""
import asyncio
import json
import sys


async def serve(reader, writer):
    try:
        while line := await reader.readline():
            method, path, _ = line.decode("latin-1").split(" ", 2)
            headers = {}
            while (line := await reader.readline()) not in (b"\r\n", b""):
                name, _, value = line.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()
            body = json.dumps({"method": method, "path": path, "agent": headers.get("user-agent")}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
    await ended.wait()


asyncio.run(main())
