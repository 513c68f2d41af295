import gevent

gevent.config.loop = "libuv-cffi"


def worker():
    watch = Watch("idle")
    while not watch.done:
        gevent.sleep(0.5)
    here("greenlet")
    nested("nested")
    gevent.get_hub().loop.run_callback(nested, "nested in the hub")
    gevent.sleep(0.1)
    gevent.get_hub().loop.timer(0.1).start(nested, "nested in the hub")
    gevent.sleep(1)


gevent.spawn(worker).join()
