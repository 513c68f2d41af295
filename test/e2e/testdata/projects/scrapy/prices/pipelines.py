import time

import planted


class Store:
    def process_item(self, item, spider):
        if item["text"] == "sum":
            begun = planted.begin()
            end = time.thread_time() + planted.SECONDS
            while time.thread_time() < end:
                for n in range(10000): n * n
            planted.end(begun, "cpu")
        return item
