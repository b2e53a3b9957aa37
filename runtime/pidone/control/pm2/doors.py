"""`rpc.sock` and `pub.sock` in `$PM2_HOME`: bound from the start, served from the first client on."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from pidone.control import socket_file
from pidone.descriptors import close
from pidone.ecosystem.spec import Seconds
from pidone.supervise.run.session import Parts
from pidone.throttle import Throttle

if TYPE_CHECKING:
    from pidone.control.pm2.clients import Clients

_RPC: Final = "rpc.sock"
_PUB: Final = "pub.sock"
_RETRY: Final[Seconds] = 5.0
"""How long clients wait in the queue where what serves them cannot be loaded."""


class _Served(NamedTuple):
    rpc: "Clients"
    pub: "Clients"


class Doors:
    """Both sockets. A home that cannot be written has none, and everything else goes on."""

    def __init__(self, parts: Parts, environ: Mapping[str, str]) -> None:
        """Bind them, as the control socket is: 0600, and only for root and our own user."""
        self._parts = parts
        self._bound: list[socket_file.Bound] = []
        self._served: _Served | None = None
        self._throttle = Throttle(parts.loop.time)
        home = home_of(environ)
        try:
            socket_file.await_answer(home)
            os.makedirs(home, mode=0o700, exist_ok=True)
            for name in (_RPC, _PUB):
                self._bound.append(socket_file.claim(os.path.join(home, name)))
        except OSError as error:
            self.close()
            why = error.strerror or str(error)
            message = f"{home}: {why}; PM2's client cannot reach this runtime"
            parts.ledger.event("info", "control.error", message, address=home, error=why)
            return
        self._wait_for_knocks()
        parts.ledger.event("info", "control.listening", f"PM2's client is answered in {home}", address=home)

    def close(self) -> None:
        """Hang up on everybody and remove the sockets, unless they are another runtime's by now."""
        if self._served is not None:
            self._served.pub.send("pm2:kill", {"status": "killed", "msg": "the runtime ends"})
            for clients in self._served:
                clients.close()
        for bound in self._bound:
            if self._served is None:
                self._parts.loop.remove_reader(bound.sock.fileno())
            close(bound.sock)
            bound.remove()
        self._bound = []

    def _wait_for_knocks(self) -> None:
        for bound in self._bound:
            self._parts.loop.add_reader(bound.sock.fileno(), self._knocked)

    def _knocked(self) -> None:
        """The first client: load what answers. Where that fails clients wait, and it is tried again."""
        for bound in self._bound:
            self._parts.loop.remove_reader(bound.sock.fileno())
        try:
            self._serve()
        except Exception as error:  # noqa: BLE001 (files that an upgrade has changed can fail in any way)
            why = f"PM2's client cannot be served: {type(error).__name__}: {error}"
            if times := self._throttle.due("load"):
                again = f" ({times} times)" if times > 1 else ""
                self._parts.ledger.event("error", "control.error", why + again, error=str(error))
            self._parts.loop.call_later(_RETRY, self._wait_for_knocks)

    def _serve(self) -> None:
        from pidone.control.pm2.bus import Bus  # noqa: PLC0415 (nothing of it before there is a client)
        from pidone.control.pm2.clients import Clients  # noqa: PLC0415
        from pidone.control.pm2.service import Service  # noqa: PLC0415

        rpc, pub = (bound.sock for bound in self._bound)
        bus = Bus(self._parts)
        service = Service(self._parts, bus)
        self._served = _Served(
            Clients(rpc, self._parts.loop, on_frame=service.answer),
            Clients(pub, self._parts.loop, on_count=bus.followed_by),
        )
        bus.send, bus.has_unread = self._served.pub.send, self._served.rpc.unread


def home_of(environ: Mapping[str, str]) -> str:
    """PM2's folder, by its own rule."""
    home = environ.get("PM2_HOME")
    return os.path.abspath(home) if home else os.path.join(environ.get("HOME") or "/root", ".pm2")
