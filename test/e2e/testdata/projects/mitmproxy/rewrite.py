import time

import planted


class Rewrite:
    def request(self, flow):
        if flow.request.path.endswith("nap"):
            begun = planted.begin()
            time.sleep(planted.SECONDS)
            planted.end(begun, "sleep")

    def response(self, flow):
        if flow.request.path.endswith("sum"):
            begun = planted.begin()
            end = time.thread_time() + planted.SECONDS
            while time.thread_time() < end:
                for n in range(10000): n * n
            planted.end(begun, "cpu")


addons = [Rewrite()]
