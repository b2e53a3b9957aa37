"""The clients of one of PM2's sockets: who they are, what they say, and what they do not take."""

import asyncio
import fcntl
import socket
import termios
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

from pidone.control import peers
from pidone.control.pm2.wire import Decoder, WireError, encode
from pidone.descriptors import close
from pidone.ecosystem.spec import Bytes, Seconds

CLIENTS: Final = 64
"""Per socket; the one that has been there longest has to go when one more comes."""
_UNREAD: Final[Bytes] = 4 * 1024 * 1024
"""What may wait for a client that does not read."""
_INT: Final[Bytes] = 4
_PAUSE: Final[Seconds] = 1.0
"""How long clients wait in the queue when there is nothing to serve them with."""

Answer: TypeAlias = Callable[[Sequence[object], peers.Peer], Awaitable[object]]
"""What answers a request; never raises."""


class Clients:
    """Accepts and serves them."""

    def __init__(
        self,
        sock: socket.socket,
        loop: asyncio.AbstractEventLoop,
        *,
        on_frame: Answer | None = None,
        on_count: Callable[[int], None] = lambda _count: None,
    ) -> None:
        """`sock` listens already. Without `on_frame` clients only listen.

        `on_count` hears how many there are.
        """
        self._socket = sock
        self._loop = loop
        self._on_frame = on_frame
        self._on_count = on_count
        self._clients: dict[_Client, None] = {}
        self._tasks: set[asyncio.Task[object]] = set()
        self._open()

    def send(self, *arguments: object) -> None:
        """Tell everybody; who does not read is hung up on."""
        if self._clients:
            frame = encode(*arguments)
            for client in list(self._clients):
                client.write(frame)

    def unread(self) -> bool:
        """Whether somebody has not read yet all that it was told."""
        return any(client.unread() for client in self._clients)

    def close(self) -> None:
        """Accept nobody any more, and hang up."""
        self._loop.remove_reader(self._socket.fileno())
        for task in self._tasks:
            task.cancel()
        for client in list(self._clients):
            client.close()

    def _open(self) -> None:
        if self._socket.fileno() >= 0:  # closed meanwhile
            self._loop.add_reader(self._socket.fileno(), self._accept)

    def _accept(self) -> None:
        try:
            sock, _ = self._socket.accept()
        except BlockingIOError:
            return
        except OSError:  # no descriptor is left: they wait in the queue
            self._loop.remove_reader(self._socket.fileno())
            self._loop.call_later(_PAUSE, self._open)
            return
        try:
            peer = peers.of(sock)
        except OSError:  # the kernel does not say who it is
            close(sock)
            return
        if not peers.is_ours(peer.uid):
            close(sock)
            return
        if len(self._clients) >= CLIENTS:
            next(iter(self._clients)).abort()
        sock.setblocking(False)
        client = _Client(self, peer)
        self.keep(self._loop.create_task(self._loop.connect_accepted_socket(lambda: client, sock)))

    # -- called by clients -----------------------------------------------------------------------------

    def keep(self, task: "asyncio.Task[object]") -> None:
        """Hold on to a task as long as it runs."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def arrived(self, client: "_Client") -> None:
        """One more."""
        self._clients[client] = None
        self._on_count(len(self._clients))

    def left(self, client: "_Client") -> None:
        """One less."""
        if self._clients.pop(client, client) is None:
            self._on_count(len(self._clients))

    def asked(self, client: "_Client", arguments: Sequence[object]) -> None:
        """A request: the last argument is its number, which the answer carries as well."""
        if self._on_frame is not None and len(arguments) > 1:
            self.keep(self._loop.create_task(self._answered(client, arguments)))

    async def _answered(self, client: "_Client", arguments: Sequence[object]) -> None:
        assert self._on_frame is not None  # noqa: S101 (looked at by `asked`)
        reply = await self._on_frame(arguments[:-1], client.peer)
        client.write(encode(reply, arguments[-1]))


class _Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, clients: Clients, peer: peers.Peer) -> None:
        self.peer = peer
        self._clients = clients
        self._decoder = Decoder()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 (what asyncio says of stream protocols)
        self._transport = transport
        self._clients.arrived(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        del exc
        self._transport = None
        self._clients.left(self)

    def data_received(self, data: bytes) -> None:
        """Some more of a request."""
        try:
            for arguments in self._decoder.feed(data):
                self._clients.asked(self, arguments)
        except WireError:
            self.abort()

    def write(self, frame: bytes) -> None:
        """Say something, if it still listens and reads."""
        if self._transport is None:
            return
        self._transport.write(frame)
        if self._transport.get_write_buffer_size() > _UNREAD:
            self.abort()

    def unread(self) -> bool:
        """Whether it has not read yet all that was said; unix(7): TIOCOUTQ counts it."""
        if self._transport is None or self._transport.is_closing():
            return False
        if self._transport.get_write_buffer_size():
            return True
        descriptor = self._transport.get_extra_info("socket").fileno()
        try:
            return any(fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(_INT)))
        except OSError:  # refused: then nobody knows
            return False

    def close(self) -> None:
        """Hang up when it has taken what was said."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Hang up at once."""
        if self._transport is not None:
            self._transport.abort()
