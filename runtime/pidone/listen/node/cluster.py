"""Node's cluster protocol, the primary's side for one worker: unmodified apps share our sockets.

Protocol: lib/internal/cluster/{child,primary,shared_handle,utils}.js of Node 18 to 24, with the shared
scheduling (SCHED_NONE): the worker asks for a listening socket once, afterwards the kernel balances and no
connection passes through us.
"""

import socket
from collections import deque
from collections.abc import Callable, Mapping
from errno import EINVAL
from typing import Any, Final, Protocol

from pidone.listen.node.channel import Channel
from pidone.listen.sockets.address import Address, Kind

DRAIN: Final = "NODE_PIDONE_DRAIN"
DRAINED: Final = "NODE_PIDONE_DRAINED"
SERVER: Final = "NODE_PIDONE_SERVER"
NO_SERVER: Final = "NODE_PIDONE_NO_SERVER"
PING: Final = "NODE_PIDONE_PING"
PONG: Final = "NODE_PIDONE_PONG"
STACK: Final = "NODE_PIDONE_STACK"
INSPECTED: Final = "NODE_PIDONE_INSPECTED"
"""Our own messages, see drain.cjs and hang.cjs: a `cmd` that begins with NODE_ stays hidden from the app."""
_ABOUT_SENT_SOCKETS: Final = {
    "NODE_SOCKET_GET_COUNT": "NODE_SOCKET_COUNT",
    "NODE_SOCKET_NOTIFY_CLOSE": "NODE_SOCKET_ALL_CLOSED",
}
"""What a server asks for the connections that its app sent to us, of which none lives on (socket_list.js)."""
DEFAULT_BACKLOG: Final = 511
_MAX_BACKLOG: Final = 65535
_RETRIES: Final = 3
_UDP_V6_ONLY: Final = 1  # UV_UDP_IPV6ONLY and UV_TCP_IPV6ONLY, uv.h
_UDP_REUSE: Final = 4  # UV_UDP_REUSEADDR


class Sockets(Protocol):
    """Where a worker's sockets come from."""

    @property
    def has_left(self) -> bool:
        """Whether the worker was told to stop, and shall get nothing any more."""

    def obtain(self, address: Address, *, index: int, backlog: int) -> socket.socket:
        """The socket for an address; `index` tells several servers of one worker on one address apart.

        Raises OSError with the errno the app shall see.
        """

    def release(self, address: Address, *, index: int) -> None:
        """The worker closed its server on this address."""

    def shared_data(self, key: str, offered: object) -> object:
        """The first data that any worker offered for this key: TLS session ticket keys."""


class Conversation:
    """What is said over the IPC channel of one process, cluster worker or not."""

    def __init__(
        self,
        channel: Channel,
        sockets: Sockets | None,
        *,
        inherited: Mapping[int, socket.socket],
        on_listening: Callable[[], None],
        on_drained: Callable[[], None],
        on_no_server: Callable[[bool], None],
        on_pong: Callable[[], None],
        on_stack: Callable[[str], None],
        on_inspected: Callable[[], None],
        on_message: Callable[[object], None],
        on_ignored: Callable[[str], None],
    ) -> None:
        """Without sockets the process is no cluster worker. `inherited` is what it has by number."""
        self._channel = channel
        self._sockets = sockets
        self._inherited = inherited
        self._on_listening = on_listening
        self._heard: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
            DRAINED: lambda _: on_drained(),
            NO_SERVER: lambda message: on_no_server(message.get("loaded") is True),
            PONG: lambda _: on_pong(),
            STACK: lambda message: on_stack(str(message.get("stack", ""))),
            INSPECTED: lambda _: on_inspected(),
        }
        """What the preload tells."""
        self._on_message = on_message
        self._on_ignored = on_ignored
        self._handles: deque[tuple[dict[str, Any], socket.socket]] = deque()
        self._attempts = 0
        self._keys: dict[str, tuple[Address, int]] = {}

    def receive(self, message: object) -> None:
        """Act on one message."""
        command = message.get("cmd") if isinstance(message, dict) else None
        if not isinstance(message, dict) or not isinstance(command, str) or not command.startswith("NODE_"):
            self._on_message(message)
        elif command == "NODE_CLUSTER" and self._sockets is not None:
            self._act(message, self._sockets)
        elif command in ("NODE_HANDLE_ACK", "NODE_HANDLE_NACK"):
            self._acknowledged(accepted=command == "NODE_HANDLE_ACK")
        elif command == "NODE_HANDLE":
            # process.send(message, handle): the channel has closed the handle; without an answer Node would
            # keep everything that the app sends after it.
            self._channel.send({"cmd": "NODE_HANDLE_ACK"})
            self._on_message(message.get("msg"))
        elif command in _ABOUT_SENT_SOCKETS:
            self._channel.send({"cmd": _ABOUT_SENT_SOCKETS[command], "key": message.get("key"), "count": 0})
        elif command in self._heard:
            self._heard[command](message)
        else:
            self._on_ignored(f"internal message {command}")

    def drain(self, idle_s: float, stop: str) -> bool:
        """Ask the preload to finish what is in progress; connections idle for `idle_s` are cut.

        `stop` is the event that stops the app; one that has no handler for it hangs up and exits.
        """
        return self._channel.send({"cmd": DRAIN, "idle": round(idle_s * 1000), "stop": stop})

    def ask_for_server(self) -> bool:
        """Ask the preload whether the worker has nothing to serve with."""
        return self._channel.send({"cmd": SERVER})

    def ping(self, patience_s: float) -> bool:
        """Ask the preload whether the worker's loop turns; it hangs when it has not for `patience_s`."""
        return self._channel.send({"cmd": PING, "patience": round(patience_s * 1000)})

    def ask_for_stack(self) -> bool:
        """Say that the signal which comes next asks where it stands."""
        return self._channel.send({"cmd": STACK})

    def disconnect(self) -> bool:
        """Ask the worker to close its servers and hang up, which needs no preload."""
        return self._channel.send({"cmd": "NODE_CLUSTER", "act": "disconnect"})

    def _act(self, message: dict[str, Any], sockets: Sockets) -> None:
        act = message.get("act")
        if act == "queryServer":
            self._query(message, sockets)
        elif act == "listening":
            self._on_listening()
        elif act == "close":
            self._closed(message, sockets)
        elif act == "exitedAfterDisconnect":
            self._answer(message)
        elif act != "online":
            self._on_ignored(f"cluster message {act!r}")

    def _query(self, message: dict[str, Any], sockets: Sockets) -> None:
        if sockets.has_left:
            return  # told to stop: without an answer it neither listens nor fails, and its stop goes on
        key = ":".join(str(message.get(name)) for name in ("address", "port", "addressType", "fd", "index"))
        try:
            found = self._find(message, key, sockets)
        except OSError as error:
            self._answer(message, key=key, errno=-(error.errno or EINVAL), data=None)
            return
        reply = {
            "cmd": "NODE_CLUSTER",
            "ack": message.get("seq"),
            "key": key,
            "errno": 0,
            "data": sockets.shared_data(key, message.get("data")),
        }
        native = "dgram.Native" if found.type == socket.SOCK_DGRAM else "net.Native"
        self._handles.append(({"cmd": "NODE_HANDLE", "type": native, "msg": reply}, found))
        if len(self._handles) == 1:
            self._send_handle()

    def _find(self, message: dict[str, Any], key: str, sockets: Sockets) -> socket.socket:
        number = message.get("fd")
        if isinstance(number, int) and number >= 0:
            if number not in self._inherited:
                raise OSError(EINVAL, "not an inherited socket")  # what Node's own primary answers
            return self._inherited[number]
        address = address_of(message)
        index = _integer(message.get("index"), 0)
        backlog = _integer(message.get("backlog"), DEFAULT_BACKLOG)
        if not 0 < backlog <= _MAX_BACKLOG:
            backlog = DEFAULT_BACKLOG
        found = sockets.obtain(address, index=index, backlog=backlog)
        self._keys[key] = (address, index)
        return found

    def _send_handle(self) -> None:
        # One at a time: a second descriptor in the same read would replace the first in the worker.
        while self._handles:
            message, found = self._handles[0]
            self._attempts += 1
            if found.fileno() >= 0:
                self._channel.send(message, found.fileno())
                return
            self._handles.popleft()  # the app's sockets were closed meanwhile

    def _acknowledged(self, *, accepted: bool) -> None:
        if not self._handles:
            self._on_ignored("acknowledgement of nothing")
            return
        if accepted or self._attempts > _RETRIES:
            self._handles.popleft()
            self._attempts = 0
        self._send_handle()

    def _closed(self, message: dict[str, Any], sockets: Sockets) -> None:
        known = self._keys.pop(str(message.get("key")), None)
        if known is not None:
            sockets.release(known[0], index=known[1])
        self._answer(message)

    def _answer(self, message: dict[str, Any], **fields: object) -> None:
        self._channel.send({"cmd": "NODE_CLUSTER", "ack": message.get("seq"), **fields})


def address_of(message: Mapping[str, Any]) -> Address:
    """What a queryServer message asks for. Raises OSError (EINVAL) for what Node would never ask."""
    kind = message.get("addressType")
    host = message.get("address") or ""
    port = _integer(message.get("port"), 0)
    flags = _integer(message.get("flags"), 0)
    if not isinstance(host, str):
        raise OSError(EINVAL, "address")
    if kind == -1:
        return Address(Kind.UNIX, host)
    if not 0 <= port <= 65535:
        raise OSError(EINVAL, "port")
    v6_only = bool(flags & _UDP_V6_ONLY)
    if kind in ("udp4", "udp6"):
        return Address(Kind.UDP, host, port, v6_only=v6_only, reuse=bool(flags & _UDP_REUSE))
    return Address(Kind.TCP, host, port, v6_only=v6_only)


def _integer(value: object, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default
