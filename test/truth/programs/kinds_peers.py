"""Blocks by a peer: sockets, databases, name resolution."""

import contextlib
import functools
import http.client
import os
import re
import select
import socket
import tempfile
import threading
import time
import urllib.request

import helper
from kinds import kind, say, tcp
from record import begin, end


def in_background(function, *arguments):
    threading.Thread(target=function, args=arguments, name=function.__name__, daemon=True).start()


def answer_late(connection):
    """One HTTP answer, after the seconds the path says."""
    with connection, connection.makefile("rb") as stream:
        seconds = float(stream.readline().split()[1].rpartition(b"/")[2])
        while stream.readline().strip():
            pass
        time.sleep(seconds)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")


def serve(listener, answer):
    while True:
        connection, _ = listener.accept()
        in_background(answer, connection)


@functools.lru_cache(maxsize=None)
def web_server():
    listener = socket.create_server(("127.0.0.1", 0))
    in_background(serve, listener, answer_late)
    return listener.getsockname()[1]


def slow_page(seconds):
    port = web_server()
    say(target=tcp(port))
    return ("http://127.0.0.1:%d/%f" % (port, seconds),)


HTTP_ADVICE = "httpx|aiohttp|to_thread"


def slow_page_for(library):
    def prepare(seconds):
        __import__(library)
        return slow_page(seconds)

    return prepare


@kind("net", prepare=slow_page_for("requests"), modules=("requests",), advice=HTTP_ADVICE)
def requests_get(_seconds, url):
    import requests

    begin()
    requests.get(url)
    end()


@kind("net", prepare=slow_page_for("requests"), modules=("requests",), advice=HTTP_ADVICE)
def requests_with_timeout(_seconds, url):
    import requests

    session = requests.Session()
    begin()
    session.get(url, timeout=5)
    end()


@kind("net", prepare=slow_page_for("urllib3"), modules=("urllib3",), advice=HTTP_ADVICE)
def urllib3_request(_seconds, url):
    import urllib3

    begin()
    urllib3.PoolManager().request("GET", url)
    end()


@kind("net", prepare=slow_page, advice=HTTP_ADVICE)
def urlopen(_seconds, url):
    begin()
    urllib.request.urlopen(url).read()
    end()


@kind("net", prepare=slow_page)
def http_client(_seconds, url):
    host, path = re.match("http://([^/]*)(/.*)", url).groups()
    connection = http.client.HTTPConnection(host)
    connection.request("GET", path)
    begin()
    connection.getresponse()
    end()
    connection.close()


# Databases.


@functools.lru_cache(maxsize=None)
def postgres(host):
    import psycopg2

    return psycopg2.connect(host=host, port=os.environ["TRUTH_POSTGRES_PORT"], user="truth", dbname="postgres")


POSTGRES = {
    "modules": ("psycopg2",),
    "needs": ("TRUTH_POSTGRES_PORT", "TRUTH_POSTGRES_DIR"),
    "advice": "asyncpg|psycopg",
}


def postgres_by_tcp(_seconds):
    say(target=tcp(int(os.environ["TRUTH_POSTGRES_PORT"])))
    return (postgres("127.0.0.1").cursor(),)


def postgres_by_unix(_seconds):
    where, port = os.environ["TRUTH_POSTGRES_DIR"], os.environ["TRUTH_POSTGRES_PORT"]
    say(target=r"^unix .*%s/\.s\.PGSQL\.%s$" % (where, port))
    return (postgres(where).cursor(),)


@kind("net", prepare=postgres_by_tcp, **POSTGRES)
def psycopg2_by_tcp(seconds, cursor):
    begin()
    cursor.execute("select pg_sleep(%s)", (seconds,))
    end()


@kind("net", prepare=postgres_by_unix, **POSTGRES)
def psycopg2_by_unix_socket(seconds, cursor):
    begin()
    cursor.execute("select pg_sleep(%s)", (seconds,))
    end()


@functools.lru_cache(maxsize=None)
def redis_client(**where):
    import redis

    client = redis.Redis(**where)
    client.ping()
    return client


REDIS = {
    "modules": ("redis",),
    "needs": ("TRUTH_REDIS_PORT", "TRUTH_REDIS_SOCKET"),
    "advice": r"redis\.asyncio",
}


def redis_by_tcp(_seconds):
    port = int(os.environ["TRUTH_REDIS_PORT"])
    say(target=tcp(port))
    return (redis_client(host="127.0.0.1", port=port),)


def redis_by_unix(_seconds):
    path = os.environ["TRUTH_REDIS_SOCKET"]
    say(target=r"^unix .*%s$" % path)
    return (redis_client(unix_socket_path=path),)


@kind("net", prepare=redis_by_tcp, **REDIS)
def redis_blpop(seconds, client):
    begin()
    client.execute_command("BLPOP", "nothing", "%.3f" % seconds)
    end()


@kind("net", prepare=redis_by_unix, exclusive=True, **REDIS)
def redis_debug_sleep(seconds, client):
    begin()
    client.execute_command("DEBUG", "SLEEP", "%.3f" % seconds)
    end()


# Plain sockets.


def connection(seconds):
    _, ours, theirs, listener = helper.silent_tcp_peer(seconds)
    listener.close()
    say(target=tcp(ours.getpeername()[1]))
    return ours, theirs


def connected(seconds):
    """A TCP connection whose peer speaks after some seconds."""
    ours, theirs = connection(seconds)
    return helper.later(seconds, helper.nothing, lambda: theirs.send(b"x")), ours, theirs


@kind("net", prepare=connected)
def receiving_by_tcp(_seconds, go, ours, _theirs):
    begin()
    go()
    ours.recv(1)
    end()
    ours.close()


@kind("net", prepare=connected)
def receiving_with_time_limit(_seconds, go, ours, _theirs):
    ours.settimeout(5)
    begin()
    go()
    ours.recv(1)
    end()
    ours.close()


@kind("net", prepare=connected)
def reading_a_line(_seconds, go, ours, _theirs):
    stream = ours.makefile("rb")
    begin()
    go()
    stream.read(1)
    end()
    ours.close()


def full_peer(seconds):
    """A TCP connection whose peer does not read for some seconds, its buffers full."""
    ours, theirs = connection(seconds)
    ours.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            ours.send(bytes(65536))
    ours.setblocking(True)

    def drain():
        with contextlib.suppress(BlockingIOError):
            while theirs.recv(1 << 20, socket.MSG_DONTWAIT):
                pass

    return helper.later(seconds, helper.nothing, drain), ours, theirs


@kind("net", prepare=full_peer)
def sending_by_tcp(_seconds, go, ours, _theirs):
    begin()
    go()
    ours.send(bytes(1))
    end()
    ours.close()


@kind("net", prepare=connected)
def selecting_a_socket(_seconds, go, ours, _theirs):
    begin()
    go()
    select.select([ours], [], [])
    end()
    ours.close()


def one_of_several(seconds):
    """Three connections; the last one is the one that speaks."""
    quiet = [helper.silent_tcp_peer(seconds) for _ in range(2)]
    go, ours, theirs = connected(seconds)
    return go, [q[1] for q in quiet] + [ours], theirs, quiet


@kind("net", prepare=one_of_several)
def polling_several_sockets(_seconds, go, sockets, _theirs, _quiet):
    poller = select.poll()
    for one in sockets:
        poller.register(one, select.POLLIN)
    begin()
    go()
    poller.poll()
    end()


@kind("net", prepare=one_of_several)
def selecting_several_sockets(_seconds, go, sockets, _theirs, _quiet):
    begin()
    go()
    select.select(sockets, [], [])
    end()


def full_listener(_seconds):
    """A listener whose queue is full with one connection, and that one's other end."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    say(target=tcp(listener.getsockname()[1]))
    return listener, socket.create_connection(listener.getsockname())


@kind("net", prepare=full_listener)
def connecting_with_time_limit(seconds, listener, queued):
    address = listener.getsockname()
    begin()
    with contextlib.suppress(OSError):
        socket.create_connection(address, timeout=seconds)
    end()
    queued.close()
    listener.close()


def late_accept(seconds):
    listener, queued = full_listener(seconds)
    return helper.later(seconds, helper.nothing, listener.accept), listener, queued


@kind("net", prepare=late_accept)
def connecting(_seconds, go, listener, queued):
    # The kernel tries again after one second.
    address = listener.getsockname()
    ours = socket.socket()
    begin()
    go()
    ours.connect(address)
    end()
    ours.close()
    queued.close()
    listener.close()


def late_client(seconds):
    listener = socket.create_server(("127.0.0.1", 0))
    # A listener has no peer yet; its own address is what names it.
    say(target=r"^tcp (.*\b)?127\.0\.0\.1:%d\b" % listener.getsockname()[1])
    go = helper.later(seconds, helper.nothing, lambda: socket.create_connection(listener.getsockname()))
    return go, listener


@kind("net", prepare=late_client)
def accepting(_seconds, go, listener):
    begin()
    go()
    listener.accept()
    end()
    listener.close()


def udp_peer(seconds):
    theirs = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    theirs.bind(("127.0.0.1", 0))
    ours = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ours.connect(theirs.getsockname())
    say(target=r"^udp 127\.0\.0\.1:%d$" % theirs.getsockname()[1])
    return helper.later(seconds, helper.nothing, lambda: theirs.sendto(b"x", ours.getsockname())), ours


@kind("net", prepare=udp_peer)
def receiving_by_udp(_seconds, go, ours):
    begin()
    go()
    ours.recv(1)
    end()
    ours.close()


def tcp6_peer(seconds):
    listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    ours = socket.create_connection(listener.getsockname()[:2])
    theirs, _ = listener.accept()
    say(target=r"^tcp \[::1\]:%d$" % listener.getsockname()[1])
    listener.close()
    return helper.later(seconds, helper.nothing, lambda: theirs.send(b"x")), ours


@kind("net", prepare=tcp6_peer)
def receiving_by_tcp6(_seconds, go, ours):
    begin()
    go()
    ours.recv(1)
    end()
    ours.close()


def unix_peer(seconds):
    path = os.path.join(tempfile.mkdtemp(prefix="loopwatch-unix-"), "service.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)
    ours = socket.socket(socket.AF_UNIX)
    ours.connect(path)
    theirs, _ = listener.accept()
    say(target="^unix .*%s$" % path)
    return helper.later(seconds, helper.nothing, lambda: theirs.send(b"x")), ours, listener


@kind("net", prepare=unix_peer)
def receiving_by_unix_socket(_seconds, go, ours, _listener):
    begin()
    go()
    ours.recv(1)
    end()
    ours.close()


# Names.


RESOLVER = os.environ.get("TRUTH_RESOLVER", "")

DNS = {"needs": ("TRUTH_RESOLVER",), "target": r"^udp %s:53$" % RESOLVER.replace(".", r"\."), "advice": "getaddrinfo"}


def late_resolver(seconds):
    service = silent_resolver(seconds)[0]
    # Both questions, for IPv4 and IPv6, are there at once: the second must not wait anew.
    in_background(answer_two, service, seconds)
    return (service,)


def answer_two(service, seconds):
    questions = [service.recvfrom(512) for _ in range(2)]
    time.sleep(seconds)
    for question, client in questions:
        service.sendto(question[:2] + b"\x81\x83" + question[4:], client)


def silent_resolver(_seconds):
    service = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    service.bind((RESOLVER, 53))
    return (service,)


@kind("dns", prepare=late_resolver, **DNS)
def looking_up(_seconds, service):
    begin()
    with contextlib.suppress(OSError):
        socket.getaddrinfo("nowhere.example.", 443)
    end()
    service.close()


@kind("dns", prepare=late_resolver, **DNS)
def connecting_by_name(_seconds, service):
    begin()
    with contextlib.suppress(OSError):
        http.client.HTTPConnection("nowhere.example.").connect()
    end()
    service.close()


@kind("dns", prepare=silent_resolver, **DNS)
def looking_up_in_vain(_seconds, service):
    begin()
    with contextlib.suppress(OSError):
        socket.gethostbyname("nowhere.example.")
    end()
    service.close()
