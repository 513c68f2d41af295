import gevent
import gevent.pool
import gevent.timeout


def worker():
    watch = Watch("idle")
    while not watch.done:
        gevent.sleep(0.5)
    here("greenlet")
    nested("nested")
    gevent.get_hub().loop.run_callback(lambda: here("callback"))
    gevent.sleep(0.1)
    gevent.get_hub().loop.run_callback(nested, "nested in the hub")
    gevent.sleep(0.1)


gevent.spawn(worker).join()
here("greenlet")
nested("nested")
gevent.pool.Pool(2).map(nested, ["nested"])
watch = Watch("idle")
while not watch.done:
    gevent.sleep(0.5)
