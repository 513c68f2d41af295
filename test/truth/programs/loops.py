"""How to run one coroutine function on each kind of loop.

LOOPS maps a name to a function run(main), which imports what it needs, runs main(sleep) to its
end and raises ImportError where the loop is not installed. The coroutine gets the loop's own
sleep and, where the loop can run several callbacks in one iteration, a way to have it do so.
"""

import threading


def on_asyncio(main, loop=None):
    import asyncio

    loop = loop or asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    async def together(calls):
        for call in calls:
            loop.call_soon(call)
        await asyncio.sleep(0)

    try:
        loop.run_until_complete(main(asyncio.sleep, together))
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def on_asyncio_thread(main):
    thread = threading.Thread(target=on_asyncio, args=(main,), name="loop")
    thread.start()
    thread.join()


def on_uvloop(main):
    import uvloop

    on_asyncio(main, uvloop.new_event_loop())


def on_tornado(main):
    import tornado.gen
    import tornado.ioloop

    loop = tornado.ioloop.IOLoop(make_current=True)

    async def together(calls):
        for call in calls:
            loop.add_callback(call)
        await tornado.gen.sleep(0.001)

    loop.run_sync(lambda: main(tornado.gen.sleep, together))


def on_trio(main):
    import trio

    trio.run(main, trio.sleep, None)


def on_curio(main):
    import curio

    curio.run(main, curio.sleep, None)


def on_twisted(main):
    from twisted.internet import defer, reactor, task

    async def sleep(seconds):
        await task.deferLater(reactor, seconds, lambda: None)

    async def together(calls):
        for call in calls:
            reactor.callLater(0, call)
        await sleep(0.001)

    failures = []

    def start():
        done = defer.ensureDeferred(main(sleep, together))
        done.addErrback(failures.append)
        done.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(start)
    reactor.run(installSignalHandlers=False)
    for failure in failures:
        failure.raiseException()


def step(coroutine):
    """Run a coroutine whose awaits block by switching greenlets."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("the coroutine suspended")


def on_gevent(main):
    import gevent

    async def sleep(seconds):
        gevent.sleep(seconds)

    gevent.spawn(step, main(sleep, None)).get()


def on_eventlet(main):
    import eventlet

    async def sleep(seconds):
        eventlet.sleep(seconds)

    # With no descriptor to watch, eventlet's hub sleeps instead of polling.
    listener = eventlet.listen(("127.0.0.1", 0))
    eventlet.spawn(listener.accept)
    eventlet.spawn(step, main(sleep, None)).wait()


LOOPS = {
    "asyncio": on_asyncio,
    "asyncio-thread": on_asyncio_thread,
    "uvloop": on_uvloop,
    "tornado": on_tornado,
    "trio": on_trio,
    "curio": on_curio,
    "twisted": on_twisted,
    "gevent": on_gevent,
    "eventlet": on_eventlet,
}
