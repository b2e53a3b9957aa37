"""One listening socket of the control side and its clients: how many, how long, and who they are."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from pidone.control import peers
from pidone.control.connection import Connection
from pidone.control.messages import Answer, Refusal, Request, Response, Side, Stream, as_json
from pidone.control.origin import is_foreign
from pidone.ecosystem.spec import Seconds

CONNECTIONS: Final = 256
"""Per listener; the quietest client has to go when one more comes."""
STREAMS: Final = 16
"""Followers of events and logs, per listener; the longest has to go when one more comes."""
_SWEEP: Final[Seconds] = 1.0


class Listener:
    """Accepts clients and hangs up on those that take too long."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        parse: Callable[[str], tuple[tuple[str, ...], Mapping[str, str]]],
        handle: Callable[[Request], Answer],
        on_bug: Callable[[Exception], None],
        token: bytes | None = None,
    ) -> None:
        """`sock` listens already. With a `token`, a TCP client that bears it may act."""
        self._socket = sock
        self._is_local = sock.family == socket.AF_UNIX
        self._parse = parse
        self._handle = handle
        self._on_bug = on_bug
        self._token = token
        self._server: asyncio.Server | None = None
        self._opening: asyncio.Task[None] | None = None
        self._connections: dict[Connection, None] = {}
        self._streams: dict[Connection, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def open(self) -> None:
        """Accept from the next turn on."""
        self._opening = self._loop.create_task(self._serve())

    async def _serve(self) -> None:
        def make() -> Connection:
            return Connection(self, self._loop.time)

        if self._is_local:
            self._server = await self._loop.create_unix_server(make, sock=self._socket)
        else:
            self._server = await self._loop.create_server(make, sock=self._socket)

    def close(self) -> None:
        """Stop listening and hang up on everybody."""
        if self._opening is not None:
            self._opening.cancel()
        if self._server is not None:
            self._server.close()
        self._socket.close()
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self._connections):
            connection.abort()

    # -- called by connections -------------------------------------------------------------------------

    def admit(self, connection: Connection, transport: asyncio.Transport) -> str | None:
        """Take in a client, if it is one of ours."""
        peer = self._peer_of(transport)
        if peer is None:
            return None
        if len(self._connections) >= CONNECTIONS:
            self._make_room()
        self._connections[connection] = None
        if self._timer is None:
            self._timer = self._loop.call_later(_SWEEP, self._sweep)
        return peer

    def leave(self, connection: Connection) -> None:
        """A client is gone."""
        self._connections.pop(connection, None)
        self._streams.pop(connection, None)

    def admit_stream(self, connection: Connection) -> None:
        """One more follower. To refuse it would let those that never read lock others out."""
        if len(self._streams) >= STREAMS:
            other = min(self._streams, key=lambda each: not each.is_clogged)  # of equals the first
            self._streams.pop(other)
            other.abort()
        self._streams[connection] = None

    def side_of(self, headers: Mapping[bytes, bytes]) -> Side | None:
        """What a client may do."""
        if self._is_local:
            host, origin = (headers.get(name, b"").decode("latin-1") for name in (b"host", b"origin"))
            return None if is_foreign(host, origin) else Side.LOCAL
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        if self._token and scheme.lower() == b"bearer" and _same(given.strip(), self._token):
            return Side.TRUSTED
        return Side.PUBLIC

    def parse(self, target: str) -> tuple[tuple[str, ...], Mapping[str, str]]:
        """Split a target into path and query."""
        return self._parse(target)

    def answer(self, request: Request) -> Answer:
        """Handle a request; a bug in a handler costs its client an answer and nobody else anything."""
        try:
            answer = self._handle(request)
        except Exception as error:  # noqa: BLE001 (a refusal, or a bug that is reported)
            return self._failed(error)
        return answer if isinstance(answer, Response | Stream) else self._later(answer)

    async def _later(self, answer: Awaitable[Response]) -> Response:
        try:
            return await answer
        except Exception as error:  # noqa: BLE001 (as in `answer`)
            return self._failed(error)

    def _failed(self, error: Exception) -> Response:
        if isinstance(error, Refusal):
            return error.response()
        self._on_bug(error)
        return as_json({"error": "a bug in pidone; its log says more"}, 500)

    # -- helpers ---------------------------------------------------------------------------------------

    def _peer_of(self, transport: asyncio.Transport) -> str | None:
        sock: socket.socket = transport.get_extra_info("socket")
        if not self._is_local:
            # asyncio does this only for sockets that were made with IPPROTO_TCP by name. Without it the
            # second of two small answers waits for the client's delayed ACK, 40 ms.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            address = transport.get_extra_info("peername") or ("?",)
            return str(address[0])
        peer = peers.of(sock)
        return f"uid {peer.uid}, pid {peer.pid}" if peers.is_ours(peer.uid) else None

    def _make_room(self) -> None:
        """Hang up on whoever is due first; those being answered come last."""
        now = self._loop.time()
        connection = min(self._connections, key=lambda each: (each.is_busy, each.deadline or now))
        self.leave(connection)
        connection.abort()

    def _sweep(self) -> None:
        now = self._loop.time()
        for connection in list(self._connections):
            if connection.deadline is not None and connection.deadline <= now:
                connection.abort()
        self._timer = self._loop.call_later(_SWEEP, self._sweep) if self._connections else None


def _same(one: bytes, other: bytes) -> bool:
    """Compare in a time that does not tell where they differ; `hmac` would bring OpenSSL along, 3 MB."""
    difference = len(one) ^ len(other)
    for index, byte in enumerate(other):
        difference |= byte ^ (one[index] if index < len(one) else 0)
    return difference == 0
