"""Tells the runtime that a server makes progress; faulthandler shows where it stands when it makes none.

Progress is a turn of the loop (asyncio, waitress, socketserver), and where one thread does everything, a
read or a write of the request that it is at. A server without any of these says nothing, and nobody expects
it to.
"""

from __future__ import annotations

import _thread
import contextlib
import faulthandler
import json
import math
import os
import signal
import socket
import sys
import time
from typing import Any, Callable

import pidone_environment
import pidone_sockets

_DEBUGGERS = ("pydevd", "debugpy")
_SIGNAL = signal.SIGRTMAX - 1
"""No program uses it by chance; faulthandler answers it in C, also when Python runs nothing any more."""

_runtime, _every_s = "", 0.0
_name, _, _seconds = os.environ.get(pidone_environment.HEARTBEAT, "").rpartition(" ")
if _name.startswith("@"):
    with contextlib.suppress(ValueError):
        _runtime, _every_s = "\0" + _name[1:], float(_seconds)
_longest_s = 3 * _every_s
"""A loop that looks up more seldom by itself is not listened to: that would be taken for a hang."""
_LOOP, _WRAPPED = "loop", "wrapped"
_begun: set[str] = set()


def prepare(sock: socket.socket) -> None:
    """A server listens, or uses a loop that does: what has to be wrapped is, before it goes on."""
    begin(sock)
    if not _runtime or _begun or not pidone_sockets.is_shared(sock):
        return
    _begun.add(_WRAPPED)
    if "waitress.wasyncore" in sys.modules:
        _in_waitress(sys.modules["waitress.wasyncore"], sys.modules.get("waitress.channel"))
    if "socketserver" in sys.modules:
        _in_socketserver(sys.modules["socketserver"])


def begin(sock: socket.socket | None = None) -> None:
    """A server listens or accepts: if a loop of asyncio runs here, it is what has to go on.

    Gunicorn watches its workers itself.
    """
    if not _runtime or _LOOP in _begun or not (sock is None or _serves(sock)):
        return
    events = sys.modules.get("asyncio.events")
    loop = events._get_running_loop() if events is not None else None  # noqa: SLF001 (never raises)
    if loop is not None and "gunicorn.arbiter" not in sys.modules:
        _begun.add(_LOOP)
        _in_loop(loop)


def _serves(sock: socket.socket) -> bool:
    """Whether clients come there: it is the runtime's, maybe bound by the parent (hypercorn)."""
    return pidone_sockets.is_shared(sock) or "hypercorn.asyncio.run" in sys.modules


class _Pulse:
    """Reports progress of one thread, at most every so often."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._thread = 0
        self._next_s = 0.0
        self._socket: socket.socket | None = None

    def beat(self) -> None:
        """There was some. Never raises: a runtime that has gone needs no answer."""
        now = time.monotonic()
        if now < self._next_s or os.getpid() != self._process:
            return
        self._next_s = now + _every_s / 2
        with contextlib.suppress(OSError):
            if self._socket is None:
                self._introduce()
            else:
                self._socket.sendto(b"{}", _runtime)

    def follow(self) -> None:
        """As `beat`, if it is the thread that has been introduced."""
        if _thread.get_ident() == self._thread:
            self.beat()

    def end(self) -> None:
        """The server has ended in order, and the process goes on with something else."""
        if self._socket is not None and os.getpid() == self._process:
            with contextlib.suppress(OSError):
                self._socket.sendto(b'{"ended":true}', _runtime)
            self._socket.close()
            self._socket, self._thread, self._next_s = None, 0, 0.0
            _begun.discard(_LOOP)

    def _introduce(self) -> None:
        """Say who this is, and hand over the pipe that faulthandler writes to."""
        ours = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.setblocking(False)
        stack, answers = os.pipe()
        os.set_blocking(answers, False)
        faulthandler.register(_SIGNAL, answers, all_threads=True)
        hello = {
            "thread": _thread.get_native_id(),
            "signal": _SIGNAL,
            "debugged": sys.gettrace() is not None or any(name in sys.modules for name in _DEBUGGERS),
        }
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, stack.to_bytes(4, sys.byteorder))]
        try:
            ours.sendmsg([json.dumps(hello).encode()], rights, 0, _runtime)
        finally:
            os.close(stack)
        self._socket, self._thread = ours, _thread.get_ident()


def _in_loop(loop: Any) -> None:
    pulse = _Pulse()
    own_close = loop.close

    def turn() -> None:
        pulse.beat()
        loop.call_later(_every_s, turn)

    def close() -> None:
        own_close()
        pulse.end()

    try:
        loop.close = close
    except AttributeError:  # a loop of another making: when it ends would not be known
        return
    turn()


def _after(owner: Any, name: str, done: Callable[..., None]) -> None:
    """Have `done` called, with the arguments, whenever a function has returned."""
    own = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        result = own(*args, **kwargs)
        done(*args)
        return result

    setattr(owner, name, wrapped)


def _in_waitress(wasyncore: Any, channel: Any) -> None:
    """Its loop turns each second; while requests wait for a thread, one of those has to go on too."""
    pulse = _Pulse()
    progress = -1
    seen = 0

    def moved(*_: Any) -> None:
        nonlocal progress
        progress += 1

    def turned(pause_s: float, channels: Any, *_: Any) -> None:
        nonlocal seen
        if pause_s > _longest_s:
            return
        if seen != progress or not any(_waits(server) for server in channels.values()):
            seen = progress
            pulse.beat()

    for poll in ("poll", "poll2"):
        _after(wasyncore, poll, turned)
    if channel is not None:
        for step in ("service", "write_soon"):
            _after(channel.HTTPChannel, step, moved)


def _waits(server: Any) -> bool:
    """Whether requests wait for a thread of this server, if it is one."""
    return bool(getattr(getattr(server, "task_dispatcher", None), "queue", ()))


def _in_socketserver(module: Any) -> None:
    """Flask's own server, Django's, wsgiref, http.server: they look up every half second by default."""
    pulse = _Pulse()
    server = module.BaseServer
    own_forever = server.serve_forever
    pauses: dict[int, float] = {}

    def serve_forever(self: Any, poll_interval: float = 0.5) -> None:
        pauses[id(self)] = math.inf if poll_interval is None else poll_interval
        try:
            own_forever(self, poll_interval)
        finally:
            if pidone_sockets.is_shared(self.socket):
                pulse.end()

    def turned(self: Any) -> None:
        if pauses.get(id(self), math.inf) <= _longest_s and pidone_sockets.is_shared(self.socket):
            pulse.beat()

    server.serve_forever = serve_forever
    _after(server, "service_actions", turned)
    # In a server of one thread the request that it is at; others than its own are not listened to.
    _after(module._SocketWriter, "write", lambda *_: pulse.follow())  # noqa: SLF001
    _after(socket.SocketIO, "readinto", lambda *_: pulse.follow())
