"""The drain of programs that do not handle SIGTERM: Flask's own server, http.server, waitress and the like.

The signal would end them in the middle of a response. So it is handled here: nothing more is accepted, what
is in progress gets its time (the runtime's kill_timeout ends it), and then the signal does what it does.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import time
from typing import Any

import pidone_sockets

_POLL_S = 0.02

_process = 0
_idle_s = 0.0


def install(idle_s: float) -> None:
    """Handle SIGTERM if nobody else does."""
    global _process, _idle_s
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return
    try:
        signal.signal(signal.SIGTERM, _on_term)
    except ValueError:  # only the main thread may, and this program listens in another one
        return
    _process, _idle_s = os.getpid(), idle_s


def _on_term(_number: int, _frame: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if os.getpid() != _process:  # forked: it serves nobody, or has been told by its parent what to do
        os.kill(os.getpid(), signal.SIGTERM)
        return
    _leave_loop()
    pidone_sockets.park()
    _close_kept()
    # Not by threading: its locks may be held by the very code that this signal interrupts.
    _thread.start_new_thread(_end, ())


def _end() -> None:
    # Never at once: what was accepted in this very moment has not made itself known yet.
    time.sleep(_POLL_S)
    while pidone_sockets.busy(_idle_s):
        time.sleep(_POLL_S)
    os.kill(os.getpid(), signal.SIGTERM)


def _leave_loop() -> None:
    """Epoll would go on to report the socket behind a descriptor that is parked."""
    asyncio = sys.modules.get("asyncio.events")
    loop = asyncio._get_running_loop() if asyncio is not None else None  # noqa: SLF001 (never raises)
    if loop is not None:
        for number in pidone_sockets.shared():
            loop.remove_reader(number)


def _close_kept() -> None:
    """Have the servers that keep connections say `Connection: close` with their next answers."""
    http_server, waitress = sys.modules.get("http.server"), sys.modules.get("waitress.task")
    if http_server is not None:
        handler = http_server.BaseHTTPRequestHandler
        own_end = handler.end_headers

        def end_headers(self: Any) -> None:
            if not self.close_connection:
                self.send_header("Connection", "close")
            own_end(self)

        handler.end_headers = end_headers
    if waitress is not None:
        own_header = waitress.Task.build_response_header

        def build_response_header(self: Any) -> Any:
            self.request.headers["CONNECTION"] = "close"
            return own_header(self)

        waitress.Task.build_response_header = build_response_header
