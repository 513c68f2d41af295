import sys

import twisted.internet.epollreactor

twisted.internet.epollreactor.install()
from twisted.internet import protocol, reactor


class Server(protocol.Protocol):
    def dataReceived(self, data):
        here("callback")
        nested("nested")
        reactor.stop()


class Client(protocol.Protocol):
    def connectionMade(self):
        self.transport.write(b"x")


def step(watch):
    if not watch.done:
        reactor.callLater(0.5, step, watch)
        return
    here("callback")
    nested("nested")
    port = reactor.listenTCP(0, protocol.Factory.forProtocol(Server), interface="127.0.0.1")
    reactor.connectTCP("127.0.0.1", port.getHost().port, protocol.ClientFactory.forProtocol(Client))


reactor.callWhenRunning(lambda: step(Watch("idle")))
reactor.run()
here("after")
