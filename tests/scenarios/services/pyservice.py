"""What the two Python services share: JSON over HTTP on a port that their instances open together."""

import gc
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Server(ThreadingHTTPServer):
    allow_reuse_port = True  # the kernel spreads connections over the instances
    daemon_threads = False  # a stop waits for the requests in progress


def serve(service: str, port: int, answer: Callable[[str], object]) -> None:
    """Answer GET requests until SIGTERM or SIGINT."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/health":
                found: object = {"service": service, "instance": os.environ.get("NODE_APP_INSTANCE", "0")}
            else:
                found = answer(self.path)
            body = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.send_header("x-pid", str(os.getpid()))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class calls it so
            """Access lines are the gateway's business."""

    server = _Server(("127.0.0.1", port), Handler)
    signal.signal(signal.SIGUSR2, lambda *_: gc.collect())  # memory is high
    for number in (signal.SIGTERM, signal.SIGINT):
        # shutdown() waits for the loop that this handler interrupts, hence the thread
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    sys.stdout.write(f"{service} listens\n")
    sys.stdout.flush()
    server.serve_forever(poll_interval=0.05)
    server.server_close()
