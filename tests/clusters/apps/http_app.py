"""The standard library's own server, with HTTP/1.1 and connections that are kept."""

import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Who it is and what it was made from."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer every request alike, some only when a file is there."""
        if self.path == "/slow":
            os.write(1, b"asked\n")
            while not os.path.exists(os.environ["ANSWER_WHEN"]):
                time.sleep(0.01)
        if self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            while True:
                self.wfile.write(b"more\n")
                time.sleep(0.05)
        body = f"{os.getpid()} {os.environ.get('GENERATION', '0')}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
