"""One listening socket of the control side and its clients: how many, how long, and who they are.

accept(2) is called here and not by asyncio, which takes a hundred clients in before anybody has looked at
one, tells of a missing descriptor with a traceback for each try, and shortens the queue that the socket has.
"""

import asyncio
import errno
import functools
import resource
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final

from pidone.control import peers
from pidone.control.http.connection import Connection
from pidone.control.http.cross_site import is_foreign
from pidone.control.http.messages import Answer, Refusal, Request, Response, Side, Stream, as_json
from pidone.descriptors import close
from pidone.ecosystem.spec import Seconds
from pidone.supervise.faults import SYSTEM_ERRORS, refusal_of

CONNECTIONS: Final = 256
"""Per listener; the quietest client has to go when one more comes."""
STREAMS: Final = 16
"""Followers of events and logs, per listener; the longest has to go when one more comes."""
_SHARE: Final = 8
"""Of the descriptors that we may have, a listener's clients get at most one in so many."""
_RESERVE: Final = 32
"""Descriptors of which clients get one at most: apps are to be started, buried and stopped in any case."""
_BATCH: Final = 32
"""Clients taken in before it is the turn of something else."""
_PAUSE: Final[Seconds] = 1.0
"""How long clients wait in the queue when there is nothing to serve them with."""
_VANISHED: Final = (errno.EAGAIN, errno.ECONNABORTED, errno.EINTR, errno.EPERM, errno.EPROTO)
"""Of accept(2): a client that is gone, or that a firewall forbids, is nothing to wait for."""
_SWEEP: Final[Seconds] = 1.0


class Listener:
    """Accepts clients and hangs up on those that take too long."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        loop: asyncio.AbstractEventLoop,
        handle: Callable[[Request], Answer],
        on_bug: Callable[[Exception], None],
        on_full: Callable[[OSError], None],
        token: bytes | None = None,
    ) -> None:
        """`sock` listens already. With a `token`, a TCP client that bears it may act.

        `on_full` is told what keeps clients from being taken in, each time.
        """
        self._socket = sock
        self._is_local = sock.family == socket.AF_UNIX
        self._handle = handle
        self._on_bug = on_bug
        self._on_full = on_full
        self._token = token
        self._connections: dict[Connection, None] = {}
        self._streams: dict[Connection, None] = {}
        self._opening: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._due: Seconds = 0.0
        """When it is to ring."""
        self._resuming: asyncio.TimerHandle | None = None
        self._loop = loop  # it may not run yet: a client can be quicker than asyncio's import

    def open(self) -> None:
        """Accept from the next turn on."""
        self._resuming = None
        self._loop.add_reader(self._socket.fileno(), self._accept)

    def close(self) -> None:
        """Stop listening and hang up on everybody."""
        self._loop.remove_reader(self._socket.fileno())
        close(self._socket)
        for timer in (self._timer, self._resuming):
            if timer is not None:
                timer.cancel()
        for connection in list(self._connections):
            connection.close()

    # -- new clients -----------------------------------------------------------------------------------

    def _accept(self) -> None:
        try:
            most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        except OSError:  # a sandbox that knows no prlimit64(2): the usual limit then
            most = 1024
        if most == resource.RLIM_INFINITY:
            most = _SHARE * CONNECTIONS
        for _ in range(_BATCH):
            try:
                client, address = self._socket.accept()
            except OSError as error:
                if error.errno not in _VANISHED:
                    self._pause(error)
                return
            try:
                peer = self._peer_of(client, address)
            except OSError as error:  # the kernel does not say who it is
                self._on_full(error)
                peer = None
            if peer is None:
                close(client)
                continue
            is_scarce = client.fileno() >= most - _RESERVE  # accept(2) gives the lowest free number
            if self._connections and (
                is_scarce or len(self._connections) >= min(CONNECTIONS, most // _SHARE)
            ):
                self._make_room()
            self._admit(client, peer)

    def _pause(self, error: OSError) -> None:
        """Let clients wait in the queue: without it, the loop would be told of them again at once."""
        self._on_full(error)
        self._loop.remove_reader(self._socket.fileno())
        self._resuming = self._loop.call_later(_PAUSE, self.open)

    def _admit(self, client: socket.socket, peer: str) -> None:
        client.setblocking(False)
        connection = Connection(self, self._loop.time, peer)
        self._connections[connection] = None
        opening: asyncio.Task[object] = self._loop.create_task(
            self._loop.connect_accepted_socket(lambda: connection, client)
        )
        self._opening.add(opening)
        opening.add_done_callback(functools.partial(self._opened, connection, client))
        if self._timer is None:
            self._look_later()

    def _opened(self, connection: Connection, client: socket.socket, task: "asyncio.Task[object]") -> None:
        self._opening.discard(task)
        if task.cancelled() or task.exception() is not None:
            self.leave(connection)
            close(client)
            if isinstance(error := None if task.cancelled() else task.exception(), OSError):
                self._on_full(error)

    def _peer_of(self, client: socket.socket, address: object) -> str | None:
        """Who it is; None if he may not ask anything."""
        if self._is_local:
            peer = peers.of(client)
            return f"uid {peer.uid}, pid {peer.pid}" if peers.may_operate(peer, self._socket) else None
        # asyncio does this only for sockets that were made with IPPROTO_TCP by name. Without it the
        # second of two small answers waits for the client's delayed ACK, 40 ms.
        with suppress(OSError):  # it is gone already
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return str(address[0]) if isinstance(address, tuple) else "?"

    # -- called by connections -------------------------------------------------------------------------

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
        if isinstance(error, SYSTEM_ERRORS):  # most read a module that only this request needs
            return as_json({"error": refusal_of(error)}, 503)
        return as_json({"error": "a bug in pidone; its log says more"}, 500)

    # -- helpers ---------------------------------------------------------------------------------------

    def _make_room(self) -> None:
        """Hang up on whoever is due first; those being answered come last."""
        now = self._loop.time()
        connection = min(self._connections, key=lambda each: (each.is_busy, each.deadline or now))
        self.leave(connection)
        connection.abort()

    def _sweep(self) -> None:
        now = self._loop.time()
        late = max(0.0, now - self._due)
        for connection in list(self._connections):
            if connection.deadline is None:
                continue
            connection.deadline += late  # what the runtime did not come to read is no client's fault
            if connection.deadline <= now:
                connection.abort()
        self._timer = None
        if self._connections:
            self._look_later()

    def _look_later(self) -> None:
        self._due = self._loop.time() + _SWEEP
        self._timer = self._loop.call_at(self._due, self._sweep)


def _same(one: bytes, other: bytes) -> bool:
    """Compare in a time that does not tell where they differ; `hmac` would bring OpenSSL along, 3 MB."""
    difference = len(one) ^ len(other)
    for index, byte in enumerate(other):
        difference |= byte ^ (one[index] if index < len(one) else 0)
    return difference == 0
