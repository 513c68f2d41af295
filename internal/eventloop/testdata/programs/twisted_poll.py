import twisted.internet.pollreactor

twisted.internet.pollreactor.install()
from twisted.internet import reactor


def step(watch):
    if not watch.done:
        reactor.callLater(0.5, step, watch)
        return
    here("callback")
    nested("nested")
    reactor.stop()


reactor.callWhenRunning(lambda: step(Watch("idle")))
reactor.run()
here("after")
