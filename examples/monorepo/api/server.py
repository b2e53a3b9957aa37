"""An HTTP server of the standard library."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hello(BaseHTTPRequestHandler):
    """Answers every GET alike."""

    def do_GET(self) -> None:
        """What the other service passes on."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello from the api\n")


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Hello).serve_forever()
