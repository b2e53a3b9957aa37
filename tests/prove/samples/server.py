"""A small threaded HTTP server with one bad habit, or none: `server.py PORT [HABIT]`."""

import http.server
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

PORT, HABIT = int(sys.argv[1]), (sys.argv[2] if len(sys.argv) > 2 else "")
BEGAN = time.monotonic()
LOG: "list[str]" = []
COUNT = itertools.count(1)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers after 100 ms, as something that asks a database; later where that is to be in progress."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        time.sleep(1 if HABIT == "ends at once" else 0.1)
        early = HABIT == "ready too early" and time.monotonic() - BEGAN < 1
        early |= HABIT == "answers 503" and SERVER.is_ending
        body = b"no database yet\n" if early else b"hello\n"
        self.send_response(503 if early else 200)
        whole = HABIT != "cuts each tenth" or next(COUNT) % 10
        self.send_header("content-length", str(len(body) + (0 if whole else 10)))
        if (SERVER.is_ending and HABIT != "waits for clients") or not whole:
            self.send_header("connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        LOG.append(format % args)
        if HABIT != "keeps its log" or len(LOG) > 20:
            os.write(1, "".join(f"{line}\n" for line in LOG).encode())
            LOG.clear()


class Server(http.server.ThreadingHTTPServer):
    """Ends when every request is answered."""

    daemon_threads = HABIT == "ends at once"
    request_queue_size = 128
    is_ending = False


def end(*_: object) -> None:
    """SIGTERM."""
    if HABIT == "ends at once":
        os._exit(0)
    Server.is_ending = True
    # Who is about to go and says so with 503 goes on for a while, for its load balancer to see it.
    threading.Timer(1.5 if HABIT == "answers 503" else 0, SERVER.shutdown).start()


if HABIT == "binds late":
    time.sleep(5)
if HABIT == "leaves a lock":
    with Path("lock").open("x"):
        pass
if HABIT == "leaves a child":
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
SERVER = Server(("127.0.0.1", PORT), Handler)
# An idle kept connection holds nobody up at the end.
Handler.timeout = 30 if HABIT == "waits for clients" else 1
signal.signal(signal.SIGTERM, signal.SIG_IGN if HABIT == "ignores SIGTERM" else end)
SERVER.serve_forever(0.05)
SERVER.server_close()
if HABIT == "keeps its log":
    os._exit(0)
