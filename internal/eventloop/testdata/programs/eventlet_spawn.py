import eventlet
import eventlet.hubs


def worker():
    watch = Watch("idle")  # no descriptors: time.sleep in the hub
    while not watch.done:
        eventlet.sleep(0.5)
    here("greenlet")
    nested("nested")
    eventlet.spawn_n(nested, "nested")
    eventlet.sleep(0.1)
    eventlet.hubs.get_hub().schedule_call_global(0, nested, "nested in the hub")
    eventlet.hubs.get_hub().schedule_call_global(0, lambda: here("callback"))
    eventlet.sleep(0.1)


def server(listener):
    listener.accept()


eventlet.spawn(worker).wait()
here("greenlet")
listener = eventlet.listen(("127.0.0.1", 0))
eventlet.spawn(server, listener)
watch = Watch("idle")  # with descriptors: epoll
while not watch.done:
    eventlet.sleep(0.5)
nested("nested")
