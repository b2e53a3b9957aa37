"""The clients of the load: each is a coroutine that asks again and again, until it is cancelled."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

import h11
import wsproto
import wsproto.events as ws
import wsproto.utilities

from pidone.cli.trial.answers import Book, Saw
from pidone.ecosystem.spec import Seconds
from pidone.record import Record

if TYPE_CHECKING:
    import ssl

PATIENCE: Final[Seconds] = 5.0
"""After that a request counts as timed out."""
_PAUSE: Final[Seconds] = 0.02
"""Between two requests of one client: a load that shows what fails, and leaves the processors to the app."""
_UPLOAD_PIECES: Final = 10
_UPLOAD_PAUSE: Final[Seconds] = 0.15
_SIP: Final = 4096
"""Bytes that the slow reader takes at a time."""
_PING_PAUSE: Final[Seconds] = 0.3
_CHUNK: Final = 65536


class Endpoint(Record, kw_only=True):
    """What is asked."""

    app: str
    host: str = "localhost"
    port: int = 0
    path: str = "/"
    tls: bool = False
    unix: str = ""
    """The path of a unix socket, which then takes the place of host and port."""

    @property
    def where(self) -> int | str:
        """What tells it from others of its app, in the words of a report."""
        return self.unix or self.port

    @property
    def authority(self) -> str:
        """As `Host:` has it (RFC 9110, 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.unix else f"{host}:{self.port}"

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection; whose certificate it is does not matter. Raises OSError."""
        if self.unix:
            return await asyncio.open_unix_connection(self.unix)
        return await asyncio.open_connection(self.host, self.port, ssl=_context() if self.tls else None)


@cache
def _context() -> "ssl.SSLContext":
    import ssl

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Ended(Exception):  # noqa: N818 (an outcome, not an error)
    """A request came to no whole response."""

    def __init__(self, saw: Saw, status: int = 0, asked: float | None = None) -> None:
        """What the client sees; the status if that came; when its head was sent (time.monotonic)."""
        super().__init__(saw.value)
        self.saw = saw
        self.status = status
        self.asked = asked


class HttpConnection:
    """One HTTP/1.1 connection."""

    def __init__(self, target: Endpoint, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Open already."""
        self._target = target
        self._reader = reader
        self._writer = writer
        self._wire = h11.Connection(h11.CLIENT)
        self._served = False
        self._asked: float | None = None

    @classmethod
    async def open(cls, target: Endpoint) -> Self:
        """A new one. Raises Ended."""
        try:
            reader, writer = await target.connect()
        except (ConnectionRefusedError, FileNotFoundError):
            raise Ended(Saw.REFUSED) from None
        except OSError:
            raise Ended(Saw.RESET) from None
        return cls(target, reader, writer)

    def close(self) -> None:
        """Whatever is in progress."""
        self._writer.transport.abort()

    async def ask(self, number: int, *, close: bool, pieces: int = 0, sip: int = 0) -> int:
        """The status of one response, read to its end. Raises Ended.

        `pieces` bytes of a body are sent slowly; `sip` bytes are read at a time, slowly.
        """
        self._writer.write(self._wire.send(self._request(number, close=close, length=pieces)) or b"")
        self._asked = time.monotonic()
        sending = asyncio.ensure_future(self._send_body(pieces))
        try:
            return await self._response(sip)
        finally:
            sending.cancel()  # a server may answer before it has everything

    async def _send_body(self, pieces: int) -> None:
        for _ in range(pieces):
            await asyncio.sleep(_UPLOAD_PAUSE)
            if self._writer.is_closing():
                return
            self._writer.write(self._wire.send(h11.Data(data=b"x")) or b"")
        self._writer.write(self._wire.send(h11.EndOfMessage()) or b"")

    async def _response(self, sip: int) -> int:
        status, data = 0, b""
        try:
            while not isinstance(event := self._wire.next_event(), h11.EndOfMessage):
                if isinstance(event, h11.Response):
                    status = event.status_code
                elif event is h11.NEED_DATA:
                    data = await self._reader.read(sip or _CHUNK)
                    self._wire.receive_data(data)
                    await asyncio.sleep(_PAUSE if sip else 0)
                elif isinstance(event, h11.ConnectionClosed):
                    raise Ended(self._unanswered(), asked=self._asked)
        except (OSError, h11.RemoteProtocolError) as error:
            if data and isinstance(error, h11.RemoteProtocolError):
                raise Ended(Saw.GARBLED, status) from None
            raise Ended(Saw.CUT if status else self._unanswered(), status, self._asked) from None
        if self._wire.trailing_data[0]:
            raise Ended(Saw.GARBLED, status)
        self._served = True
        return status

    def is_kept(self) -> bool:
        """Whether another request may follow: neither side said `Connection: close`."""
        if self._wire.our_state is not h11.DONE or self._wire.their_state is not h11.DONE:
            return False
        self._wire.start_next_cycle()
        return True

    @property
    def has_ended(self) -> bool:
        """Whether the server has closed it, as far as we have heard."""
        return self._reader.at_eof()

    def _unanswered(self) -> Saw:
        return Saw.DROPPED if self._served else Saw.RESET

    def _request(self, number: int, *, close: bool, length: int) -> h11.Request:
        mark = "&" if "?" in self._target.path else "?"
        headers = [("host", self._target.authority), ("user-agent", "pidone-prove")]
        headers += [("connection", "close")] if close else []
        headers += [("content-length", str(length))] if length else []
        method = "POST" if length else "GET"
        return h11.Request(method=method, target=f"{self._target.path}{mark}pidone={number}", headers=headers)


async def _attempt(target: Endpoint, book: Book, client: str, ask: Callable[[int], Awaitable[int]]) -> bool:
    """One request, noted; whether it was answered."""
    number, status, asked = book.begin(), 0, None
    try:
        async with asyncio.timeout(PATIENCE):
            status = await ask(number)
        saw = Saw.ERROR if status >= HTTPStatus.INTERNAL_SERVER_ERROR else Saw.ANSWERED
    except Ended as ended:
        saw, asked = ended.saw, ended.asked
    except TimeoutError:
        saw = Saw.TIMEOUT
    except asyncio.CancelledError:
        book.forget(number)
        raise
    book.end(target.app, client, number, saw, asked)
    await asyncio.sleep(_PAUSE)
    return bool(status)


async def _alone(target: Endpoint, number: int, *, pieces: int = 0, sip: int = 0) -> int:
    connection = await HttpConnection.open(target)
    try:
        return await connection.ask(number, close=True, pieces=pieces, sip=sip)
    finally:
        connection.close()


async def fresh(target: Endpoint, book: Book) -> None:
    """A connection for each request, `Connection: close`."""
    while True:
        await _attempt(target, book, "new", lambda number: _alone(target, number))


async def uploading(target: Endpoint, book: Book) -> None:
    """A body that takes its time to arrive."""
    while True:
        await _attempt(target, book, "upload", lambda number: _alone(target, number, pieces=_UPLOAD_PIECES))


async def sipping(target: Endpoint, book: Book) -> None:
    """Takes the response in small sips."""
    while True:
        await _attempt(target, book, "download", lambda number: _alone(target, number, sip=_SIP))


async def kept(target: Endpoint, book: Book) -> None:
    """One connection for as long as the server keeps it."""
    pool: list[HttpConnection] = []

    async def ask(number: int) -> int:
        if pool and pool[0].has_ended:
            pool.pop().close()
        if not pool:
            pool.append(await HttpConnection.open(target))
        return await pool[0].ask(number, close=False)

    try:
        while True:
            was_answered = await _attempt(target, book, "keep-alive", ask)
            if pool and not (was_answered and pool[0].is_kept()):
                pool.pop().close()
    finally:
        for connection in pool:
            connection.close()


async def conversing(target: Endpoint, book: Book) -> None:
    """A WebSocket that is pinged, if the server speaks that at this path at all."""
    while True:
        try:
            async with asyncio.timeout(PATIENCE):
                socket = await WebSocket.open(target)
        except Ended as ended:
            if ended.saw is Saw.ERROR:
                return  # it answers, but not with an upgrade
            await asyncio.sleep(_PING_PAUSE)
            continue
        except TimeoutError:
            return
        try:
            while True:
                if not await _attempt(target, book, "websocket", socket.ping):
                    break
                await asyncio.sleep(_PING_PAUSE)
        finally:
            socket.close()


class WebSocket:
    """One WebSocket connection (RFC 6455)."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: Endpoint) -> None:
        """Connected, and asks for the upgrade."""
        self._reader = reader
        self._writer = writer
        self._wire = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        self._send(ws.Request(host=target.authority, target=target.path))

    @classmethod
    async def open(cls, target: Endpoint) -> Self:
        """A new one. Raises Ended: ERROR if the server does not speak it."""
        try:
            reader, writer = await target.connect()
        except OSError:
            raise Ended(Saw.REFUSED) from None
        socket = cls(reader, writer, target)
        try:
            event = await socket._next()
        except Ended:
            socket.close()
            raise Ended(Saw.ERROR) from None
        if not isinstance(event, ws.AcceptConnection):
            socket.close()
            raise Ended(Saw.ERROR)
        return socket

    async def ping(self, number: int) -> int:
        """200 for a pong, 0 for an orderly close. Raises Ended."""
        self._send(ws.Ping(payload=str(number).encode()))
        while not isinstance(event := await self._next(), ws.Pong):
            if isinstance(event, ws.CloseConnection):
                self._send(event.response())
                return 0
        return 200

    def close(self) -> None:
        """Without a word."""
        self._writer.transport.abort()

    def _send(self, event: ws.Event) -> None:
        self._writer.write(self._wire.send(event))

    async def _next(self) -> ws.Event:
        """Raises Ended."""
        while True:
            for event in self._wire.events():
                return event
            try:
                data = await self._reader.read(_CHUNK)
                self._wire.receive_data(data or None)
            except (OSError, wsproto.utilities.RemoteProtocolError):
                data = b""
            if not data:
                raise Ended(Saw.CUT)


Client: TypeAlias = Callable[[Endpoint, Book], Coroutine[Any, Any, None]]
CLIENTS: Final[tuple[tuple[Client, int], ...]] = (
    (fresh, 4),
    (kept, 4),
    (uploading, 2),
    (sipping, 1),
    (conversing, 1),
)
"""Every kind, and how many of it."""
