"""The control side of a session: its sockets from the start, what answers on them from the first client on.

HTTP, routes and metrics are 2 MB and 60 ms of imports. Many containers never see a client, so they are loaded
when the first one knocks, one part in a turn of the loop: the apps are attended to meanwhile. Until then
there is only a listening socket whose queue holds it.
"""

import functools
import os
import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from pidone.control import socket_file
from pidone.control.admin import Admin
from pidone.descriptors import close
from pidone.supervise.faults import SYSTEM_ERRORS, refusal_of
from pidone.supervise.run import loop
from pidone.supervise.run.session import Closable, Parts
from pidone.throttle import Throttle

if TYPE_CHECKING:
    from pidone.contracts import Timer
    from pidone.control.history.recorder import Recorder
    from pidone.control.http.listener import Listener
    from pidone.control.http.unavailable import Unavailable
    from pidone.ecosystem.spec import Seconds


_PARTS: Final = (
    "h11",
    "pidone.control.http.router",
    "pidone.control.http.listener",
    "pidone.control.history.recorder",
    "pidone.control.answers.handlers",
)
"""What answers, as far as it takes milliseconds to load."""
_RETRY: "Final[Seconds]" = 5.0
"""After what answers could not be loaded."""


class _Door(NamedTuple):
    """A listening socket."""

    sock: socket.socket
    address: str
    token: bytes | None
    """What makes somebody who bears it more than a reader."""


class ControlServer:
    """Listens on the unix socket and, if asked to, on TCP."""

    def __init__(self, parts: Parts, environ: Mapping[str, str], admin: Admin | None = None) -> None:
        """Open the control socket, if there shall be one; where that is impossible is logged, and no more."""
        self._parts = parts
        self._doors: list[_Door] = []
        """Those that nobody has knocked at yet, or where what answers is not loaded."""
        self._next_step: Timer | None = None
        """Of loading it."""
        self._listeners: list[Listener] = []
        self._bound: socket_file.Bound | None = None
        self._unavailable: Unavailable | None = None
        self._throttle = Throttle(parts.loop.time)
        self._alarm: Closable | None = None
        if parts.supervisor.ecosystem.alerts:
            from pidone.control.alerts.alarm import Alarm  # noqa: PLC0415 (few ecosystems have alerts)

            self._alarm = Alarm(parts, environ)
        self._pm2: Closable | None = None
        if parts.supervisor.runtime.pm2_rpc and _is_wanted(parts, environ):
            from pidone.control.pm2.doors import Doors  # noqa: PLC0415 (under PM2's names only)

            self._pm2 = Doors(parts, environ)
        self._recorder: Recorder | None = None
        self._open_local(environ)
        if admin is not None:
            self._listen(*admin)
            self._record()  # whoever opens the dashboard there shall see what has been

    def close(self) -> None:
        """Hang up and remove the socket, unless it is another runtime's by now."""
        for room in (self._alarm, self._pm2, self._recorder, self._unavailable):
            if room is not None:
                room.close()
        self._unavailable = None
        if self._next_step is not None:
            self._next_step.cancel()
        for door in self._doors:
            self._parts.loop.remove_reader(door.sock.fileno())
            close(door.sock)
        for listener in self._listeners:
            listener.close()
        if self._bound is not None:
            self._bound.remove()

    def _open_local(self, environ: Mapping[str, str]) -> None:
        if not _is_wanted(self._parts, environ):
            return
        setting = self._parts.supervisor.runtime.socket
        try:
            bound = self._bound = socket_file.bind(setting, environ)
        except OSError as error:
            self._complain(socket_file.configured(setting, environ) or "the control socket", error)
            return
        if bound.taken_from is not None:
            self._parts.ledger.event(
                "warning",
                "control.taken",
                f"uid {bound.taken_from} held {bound.path}: it is the runtime's now",
                address=bound.path,
                uid=bound.taken_from,
            )
        self._listen(bound.sock, bound.path)

    def _listen(self, sock: socket.socket, address: str, token: bytes | None = None) -> None:
        self._doors.append(_Door(sock, address, token))
        self._parts.loop.add_reader(sock.fileno(), self._knocked)
        self._parts.ledger.event("info", "control.listening", f"answering at {address}", address=address)

    def _record(self) -> "Recorder":
        """Without the TCP side only from the first client on: until then nothing wakes an idle runtime up."""
        from pidone.control.history.recorder import Recorder  # noqa: PLC0415 (the first apps run)

        if self._recorder is None:
            self._recorder = Recorder(self._parts)
        return self._recorder

    def _knocked(self) -> None:
        """The first client, at whichever door: load what answers, and open all of them."""
        for door in self._doors:
            self._parts.loop.remove_reader(door.sock.fileno())
        self._load(
            [
                *(functools.partial(__import__, name) for name in loop.PARTS),
                # Asks for asyncio's loop: raises OSError if it cannot be had, and that is told to clients.
                lambda: self._parts.loop.is_running(),  # noqa: PLW0108 (the attribute is the question)
                *(functools.partial(__import__, name) for name in _PARTS),
                self._open_doors,
            ]
        )

    def _load(self, steps: list[Callable[[], object]]) -> None:
        """The next one of these, and a turn later the one after it."""
        self._next_step = None
        try:
            steps.pop(0)()
        except Exception as error:  # noqa: BLE001 (files that an upgrade has changed can fail in any way)
            why = f"the control side cannot be loaded: {type(error).__name__}: {error}"
            hint = "; was pidone replaced while it ran?" if isinstance(error, ImportError) else ""
            self._complain("load", why + hint)
            self._turn_away(why + hint)
            return
        if steps:
            self._next_step = self._parts.loop.call_soon(self._load, steps)

    def _open_doors(self) -> None:
        from pidone.control.answers.handlers import Handlers, described  # noqa: PLC0415
        from pidone.control.answers.healthz import Probes  # noqa: PLC0415
        from pidone.control.answers.metrics import Metrics  # noqa: PLC0415
        from pidone.control.applying import Applying  # noqa: PLC0415 (what `_knocked` is about)
        from pidone.control.dashboard.page import Page  # noqa: PLC0415
        from pidone.control.history.view import HistoryView  # noqa: PLC0415
        from pidone.control.http.listener import Listener  # noqa: PLC0415
        from pidone.control.http.router import Router  # noqa: PLC0415
        from pidone.control.operations import Operations  # noqa: PLC0415

        parts = self._parts
        operations = Operations(parts)
        routes = [
            *Probes(parts).routes(),
            *Metrics(parts).routes(),
            *Handlers(parts, operations).routes(),
            *HistoryView(self._record(), operations).routes(),
            *Applying(parts, operations).routes(),
            *Page(parts).routes(),
        ]
        routes.append(described(parts.version, routes))
        router = Router(routes)
        self._listeners = [
            Listener(
                door.sock,
                loop=parts.loop,
                handle=router.handle,
                on_bug=self._bug,
                on_full=functools.partial(self._complain, door.address),
                token=door.token,
            )
            for door in self._doors
        ]
        self._doors = []
        for listener in self._listeners:
            listener.open()

    def _turn_away(self, why: str) -> None:
        """Tell clients why they get nothing, and try again before long."""
        from pidone.control.http.unavailable import Unavailable  # noqa: PLC0415 (hardly ever needed)

        self._unavailable = Unavailable(self._parts.loop, [door.sock for door in self._doors], why)
        self._parts.loop.call_later(_RETRY, self._try_again)

    def _try_again(self) -> None:
        if self._unavailable is not None:
            self._unavailable.close()
            self._unavailable = None
            for door in self._doors:
                self._parts.loop.add_reader(door.sock.fileno(), self._knocked)

    def _complain(self, address: str, error: Exception | str) -> None:
        """Tell of a fault, of each address's once a minute with how often it came."""
        why = str(getattr(error, "strerror", None) or error)
        if times := self._throttle.due(address):
            again = f" ({times} times)" if times > 1 else ""
            self._parts.ledger.event(
                "error", "control.error", f"{address}: {why}{again}", address=address, error=why
            )

    def _bug(self, error: Exception) -> None:
        import traceback  # noqa: PLC0415 (only for a bug)

        # Where it happened, not what it said: a message may quote what a client sent.
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else "?"
        if not isinstance(error, SYSTEM_ERRORS):
            self._parts.ledger.event("error", "runtime.error", f"{type(error).__name__} at {place}")
        elif self._throttle.due(place):
            self._parts.ledger.event("error", "runtime.refused", f"a request: {refusal_of(error)} ({place})")


def _is_wanted(parts: Parts, environ: Mapping[str, str]) -> bool:
    """Whether anybody may operate this runtime through a socket file."""
    setting = parts.supervisor.runtime.socket
    return socket_file.configured(setting, environ) != socket_file.OFF
