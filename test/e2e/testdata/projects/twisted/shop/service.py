from shop.site import Root
from twisted.application import internet
from twisted.python import usage
from twisted.web.server import Site


class Options(usage.Options):
    optParameters = [["port", "p", "8000", ""]]


def makeService(options):
    return internet.TCPServer(int(options["port"]), Site(Root()), interface="127.0.0.1")
