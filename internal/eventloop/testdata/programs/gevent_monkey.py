from gevent import monkey

monkey.patch_all()
import socket
import threading


def serve(listener):
    watch = Watch("idle")
    while not watch.done:
        listener.settimeout(0.5)
        try:
            listener.accept()
        except socket.timeout:
            pass
    here("greenlet")
    nested_native("nested")


def nested_native(label):
    original = monkey.get_original("select", "poll")()
    watch = Watch(label)
    while not watch.done:
        original.poll(500)


listener = socket.create_server(("127.0.0.1", 0))
thread = threading.Thread(target=serve, args=(listener,))
thread.start()
thread.join()
