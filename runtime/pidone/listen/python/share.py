"""The runtime's side of the Python shim: it hands out sockets to programs that just call bind().

The other side is shim/sitecustomize.py. Requests and answers are JSON datagrams; the socket comes
beside the answer.
"""

import asyncio
import json
import os
import socket
from collections.abc import Callable, Mapping
from errno import EINVAL
from typing import Any, Final

from pidone.ecosystem.spec import AppSpec
from pidone.listen import needs
from pidone.listen.readiness.datagrams import Datagrams, DatagramSender
from pidone.listen.sockets.address import Address, Kind
from pidone.listen.sockets.member import MemberSockets, NoRoomError

SHIM: Final = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shim")
VARIABLE: Final = "PIDONE_SHARE"
IDLE_VARIABLE: Final = "PIDONE_DRAIN_IDLE"
LIMIT_VARIABLE: Final = "PIDONE_DRAIN_LIMIT"
_PART: Final = 0.8
"""Of kill_timeout: a stream without an end is no reason to be killed."""
_BACKLOG: Final = 511


def drain_env(app: AppSpec, python_path: str) -> dict[str, str]:
    """Variables that bring the shim in, for its drain alone; `python_path` is what would be there without."""
    return {
        IDLE_VARIABLE: f"{needs.longest_idle(app):g}",
        LIMIT_VARIABLE: f"{_PART * app.kill_timeout:g}",
        "PYTHONPATH": os.pathsep.join(filter(None, (SHIM, python_path))),
    }


class PythonShare:
    """What one process may share, and its report that it listens."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        app: AppSpec,
        sockets: MemberSockets,
        *,
        label: str,
        python_path: str,
        own_port: int | None,
        on_listening: Callable[[], None],
        on_ignored: Callable[[str], None],
    ) -> None:
        """`python_path` is the PYTHONPATH that it would have without us, `own_port` where it serves."""
        self._loop = loop
        self._own_port = own_port
        self._guess: asyncio.TimerHandle | None = None
        self._app = app
        self._sockets = sockets
        self._on_listening = on_listening
        self._on_ignored = on_ignored
        self._mailbox = Datagrams(loop, label, on_datagram=self._receive, on_stranger=on_ignored)
        self.env: Mapping[str, str] = {VARIABLE: self._mailbox.address, **drain_env(app, python_path)}

    def spawned(self, pid: int) -> None:
        """Listen to this process."""
        self._mailbox.spawned(pid)

    def close(self) -> None:
        """The process ended."""
        if self._guess is not None:
            self._guess.cancel()
        self._mailbox.close()

    def _receive(self, data: bytes, _descriptors: list[int], sender: DatagramSender) -> None:
        try:
            request = json.loads(data)
            if request["do"] == "listen":
                self._listens(request["port"])
            elif request["do"] == "connect":
                is_others = self._sockets.has_only_others(request["port"])
                self._mailbox.reply(sender, json.dumps({"share": is_others}).encode())
            elif request["do"] == "bind":
                self._bind(request, sender)
        except (ValueError, KeyError, TypeError) as error:
            self._on_ignored(f"request of the Python shim: {error!r}")

    def _listens(self, port: int) -> None:
        """Ready, or in a while if it listens elsewhere only: a helper's port is no server's."""
        if not self._sockets.has_port(port):
            return
        is_known = self._own_port in (None, port)
        if is_known or not self._sockets.is_random(Address(Kind.TCP, port=port)):
            self._on_listening()
        elif self._guess is None:
            self._guess = self._loop.call_later(self._app.ready_delay, self._on_listening)

    def _bind(self, request: dict[str, Any], sender: DatagramSender) -> None:
        address = self._address(request)
        if address is None:
            self._mailbox.reply(sender, json.dumps({"id": request["id"], "share": False}).encode())
            return
        try:
            found = self._sockets.obtain(address, index=0, backlog=_BACKLOG)
        except NoRoomError:
            self._mailbox.reply(sender, json.dumps({"id": request["id"], "share": False}).encode())
            return
        except OSError as error:
            answer = {"id": request["id"], "share": True, "errno": error.errno or EINVAL}
            self._mailbox.reply(sender, json.dumps(answer).encode())
            return
        self._mailbox.reply(
            sender, json.dumps({"id": request["id"], "share": True, "errno": 0}).encode(), found.fileno()
        )

    def _address(self, request: dict[str, Any]) -> Address | None:
        """What to share for this bind(); None if the port is the program's own business."""
        port, host = int(request["port"]), str(request["host"])
        if not host:
            host = "::" if request["family"] == socket.AF_INET6 else "0.0.0.0"  # noqa: S104 (asked for)
        exact = Address(Kind.TCP, host, port, v6_only=bool(request["v6only"]))
        if port == 0 or self._sockets.is_for_one_client(exact):
            return None
        return needs.shared_as(self._app, exact)
