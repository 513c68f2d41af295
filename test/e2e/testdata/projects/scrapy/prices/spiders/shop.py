import os
import time

import planted
import scrapy


class Shop(scrapy.Spider):
    name = "shop"

    def start_requests(self):
        yield scrapy.Request(os.environ["SHOP_URL"] + "0")

    def parse(self, response):
        if response.text == "nap":
            begun = planted.begin()
            time.sleep(planted.SECONDS)
            planted.end(begun, "sleep")
        yield {"text": response.text}
        at = int(response.url.rpartition("/")[2])
        yield scrapy.Request(os.environ["SHOP_URL"] + str(at + 1))
