import time
from urllib.request import urlopen

import planted
from jupyter_server.base.handlers import JupyterHandler


class Prices(JupyterHandler):
    def get(self):
        begun = planted.begin()
        urlopen(planted.SLOW).read()
        planted.end(begun, "net")
        self.finish("1")


class Nap(JupyterHandler):
    async def get(self):
        begun = planted.begin()
        time.sleep(planted.SECONDS)
        planted.end(begun, "sleep")
        self.finish("1")


def load(server):
    server.web_app.add_handlers(".*", [("/shop/prices", Prices), ("/shop/nap", Nap)])
