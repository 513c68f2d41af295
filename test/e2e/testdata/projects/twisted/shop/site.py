import time
from urllib.request import urlopen

import planted
from twisted.web.resource import Resource


class Index(Resource):
    isLeaf = True

    def render_GET(self, request):
        if request.path == b"/nap":
            self.nap()
        elif request.path == b"/price":
            begun = planted.begin()
            urlopen(planted.SLOW).read()
            planted.end(begun, "net")
        return b"hello"

    def nap(self):
        begun = planted.begin()
        time.sleep(planted.SECONDS)
        planted.end(begun, "sleep")


Root = Index
