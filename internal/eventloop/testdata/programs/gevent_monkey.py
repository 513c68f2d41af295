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
    nested("nested")


listener = socket.create_server(("127.0.0.1", 0))
thread = threading.Thread(target=serve, args=(listener,))
thread.start()
thread.join()
