"""Listens on a port of its own until it is sick: then it answers nobody."""

import http.server
import os
import sys
import time
from pathlib import Path

sick = Path(os.environ["SICK"])


class Server(http.server.HTTPServer):
    """Stops listening when it is sick."""

    def service_actions(self) -> None:
        """Between two looks at the socket."""
        if sick.exists():
            self.socket.close()
            time.sleep(3600)


server = Server(("127.0.0.1", int(os.environ["PORT"])), http.server.SimpleHTTPRequestHandler)
sys.stdout.write("healthy\n")
sys.stdout.flush()
server.serve_forever(0.05)
