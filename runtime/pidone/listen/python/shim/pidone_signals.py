"""The drain of programs that do not handle their stop: Flask's own server, http.server, waitress, others.

A signal would end them in the middle of a response. So it is handled here: nothing more is accepted, what
is in progress gets its time, and then the signal does what it does.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from typing import Any, Dict

import pidone_sockets

_POLL_S = 0.02

_DEFAULTS: Dict[int, Any] = {
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGINT: signal.default_int_handler,
}
_process = 0
_idle_s = 0.0
_limit_s = 0.0


def install(idle_s: float, limit_s: float) -> None:
    """Handle SIGTERM and SIGINT if nobody else does."""
    global _process, _idle_s, _limit_s
    if threading.current_thread() is not threading.main_thread():
        return  # it listens in another thread, and only the main one may handle signals
    _process, _idle_s, _limit_s = os.getpid(), idle_s, limit_s
    for number, default in _DEFAULTS.items():
        if signal.getsignal(number) is default:
            signal.signal(number, _on_stop)


def _on_stop(number: int, _frame: Any) -> None:
    for each, default in _DEFAULTS.items():  # the second one is not held up
        if signal.getsignal(each) is _on_stop:
            signal.signal(each, default)
    if os.getpid() != _process:  # forked: it serves nobody, or has been told by its parent what to do
        os.kill(os.getpid(), number)
        return
    _leave_loop()
    pidone_sockets.park()
    _close_kept()
    try:
        # Not by threading: its locks may be held by the very code that this signal interrupts.
        _thread.start_new_thread(_end, (number,))
    except RuntimeError:  # too many processes, or a sandbox whose C library cannot do without clone3(2)
        _end_by_timer(number)


def _end(number: int) -> None:
    ends = time.monotonic() + _limit_s
    # Never at once: what was accepted in this very moment has not made itself known yet.
    time.sleep(_POLL_S)
    while pidone_sockets.busy(_idle_s) and time.monotonic() < ends:
        time.sleep(_POLL_S)
    os.kill(os.getpid(), number)


def _end_by_timer(number: int) -> None:
    """The same between the main thread's own work; at once where the program has an alarm of its own."""
    if signal.getsignal(signal.SIGALRM) is not signal.SIG_DFL or signal.getitimer(signal.ITIMER_REAL)[0]:
        os.kill(os.getpid(), number)
        return
    ends = time.monotonic() + _limit_s

    def look(_number: int, _frame: Any) -> None:
        if not pidone_sockets.busy(_idle_s) or time.monotonic() >= ends:
            os.kill(os.getpid(), number)

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, _POLL_S, _POLL_S)


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
