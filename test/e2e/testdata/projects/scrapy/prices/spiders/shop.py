import os
import time

import planted
import scrapy


class Shop(scrapy.Spider):
    name = "shop"

    def start_requests(self):
        yield scrapy.Request(os.environ["SHOP_URL"] + "/?0", self.parse)

    def parse(self, response):
        at = int(response.url.split("?")[1].split("&")[0])
        yield {"url": response.url}
        if planted.gate() and at % 10 == 3:
            begun = planted.begin()
            time.sleep(planted.SECONDS)
            planted.end(begun, "sleep")
        if at < 1000:
            yield scrapy.Request(os.environ["SHOP_URL"] + "/?%d%s" % (at + 1, "&store" if at % 10 == 5 and planted.gate() else ""), self.parse)
