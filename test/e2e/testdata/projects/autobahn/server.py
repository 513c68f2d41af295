import sys
import time

import planted
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet import reactor


class Echo(WebSocketServerProtocol):
    def onMessage(self, payload, isBinary):
        if payload == b"block":
            begun = planted.begin()
            time.sleep(planted.SECONDS)
            planted.end(begun, "sleep")
        self.sendMessage(payload, isBinary)


factory = WebSocketServerFactory("ws://127.0.0.1:" + sys.argv[1])
factory.protocol = Echo
reactor.listenTCP(int(sys.argv[1]), factory, interface="127.0.0.1")
reactor.run()
