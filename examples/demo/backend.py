# SPDX-License-Identifier: Apache-2.0
"""A slow price service for the demo, on threads. Prints the port it listens on."""
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Price(BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(0.2)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"42.00\n")

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Price)
print(server.server_address[1], flush=True)
server.serve_forever()
