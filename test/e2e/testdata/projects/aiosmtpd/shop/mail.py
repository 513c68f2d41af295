import time
from urllib.request import urlopen

import planted


class Handler:
    @classmethod
    def from_cli(cls, parser, *args):
        return cls()

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("slow"):
            begun = planted.begin()
            urlopen(planted.SLOW).read()
            planted.end(begun, "net")
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if b"block" in envelope.content:
            begun = planted.begin()
            time.sleep(planted.SECONDS)
            planted.end(begun, "sleep")
        return "250 OK"
