# The hubs that are not the default on Linux.
import eventlet.hubs

for name in ("poll", "selects"):
    eventlet.hubs.use_hub(name)
    listener = eventlet.listen(("127.0.0.1", 0))
    listening = eventlet.spawn(listener.accept)
    watch = Watch("idle")
    while not watch.done:
        eventlet.sleep(0.5)
    listening.kill()
