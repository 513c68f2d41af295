import time
from urllib.request import urlopen

import falcon.asgi
import planted


class Audit:
    async def process_request(self, request, response):
        if request.path == "/audit":
            begun = planted.begin()
            time.sleep(planted.SECONDS)
            planted.end(begun, "sleep")


class Prices:
    async def on_get(self, request, response):
        if request.path == "/prices":
            begun = planted.begin()
            urlopen(planted.SLOW).read()
            planted.end(begun, "net")
        response.text = "1"


def create_app():
    app = falcon.asgi.App(middleware=[Audit()])
    app.add_route("/", Prices())
    app.add_route("/prices", Prices())
    app.add_route("/audit", Prices())
    return app
