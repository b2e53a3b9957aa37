"""One client's connection: HTTP/1.1 in and out, with a bound on everything the client can make us keep.

h11 is the protocol; this is the I/O, as an asyncio protocol rather than streams: no task and no buffer of its
own per client, and half the time per request (measured).
"""

import asyncio
import functools
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import h11

from pidone.control.http.messages import EVENTS, Answer, Feed, Request, Response, Side, Stream, as_json
from pidone.control.http.router import parse
from pidone.ecosystem.spec import Bytes, Seconds

HEADER_BYTES: Final[Bytes] = 16 * 1024
BODY_BYTES: Final[Bytes] = 64 * 1024
REQUEST_TIME: Final[Seconds] = 5.0
"""How long one request may take to arrive, and an answer to be taken."""
IDLE_TIME: Final[Seconds] = 75.0
"""How long a kept connection may be silent: longer than a scrape interval."""
_WRITE_AHEAD: Final[Bytes] = 64 * 1024
_TURN: Final[Bytes] = 16 * 1024
"""After so much of answers it is the others' turn, whatever else a client has asked for already."""
_READ: Final = bytearray(HEADER_BYTES)
"""What has just arrived, for all clients: nobody else reads before it has been taken out."""
_TARGET_BYTES: Final[Bytes] = 4 * 1024
_COMMON_HEADERS: Final = [
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
]


class Front(Protocol):
    """The listener a connection belongs to."""

    def leave(self, connection: "Connection") -> None: ...

    def admit_stream(self, connection: "Connection") -> None:
        """Serve one more stream of events."""

    def side_of(self, headers: Mapping[bytes, bytes]) -> Side | None:
        """What this listener lets a client with these headers do; None is nothing at all."""

    def answer(self, request: Request) -> Answer:
        """Route and handle; never raises."""


class Connection(asyncio.BufferedProtocol):
    """Reads requests one after the other and writes their answers.

    Who does not take its answers is not read from: what it asks for next waits in the kernel.
    """

    def __init__(self, front: Front, now: Callable[[], Seconds], peer: str) -> None:
        """`now` is the loop's time, `peer` who the client is."""
        self._front = front
        self._now = now
        self._wire = h11.Connection(h11.SERVER, max_incomplete_event_size=HEADER_BYTES)
        self._transport: asyncio.Transport | None = None
        self._is_open = False
        """Whether anything may still be said; a client that was hung up on may not have taken all yet."""
        self._head: h11.Request | None = None
        self._body = bytearray()
        self._source: Feed | None = None
        self._task: asyncio.Future[Response] | None = None
        self._peer = peer
        self._is_aborted = False
        """Whether it was hung up on, perhaps before it had a transport."""
        self._only_head = False
        self._is_idle = False
        self._said = 0
        self.is_clogged = False
        self.deadline: Seconds | None = now() + REQUEST_TIME
        """When the listener hangs up, unless something happens; None while a stream flows."""

    @property
    def is_busy(self) -> bool:
        """Whether an answer is under way: others are hung up on first when there are too many."""
        return self._task is not None or self._source is not None

    # -- asyncio.BufferedProtocol ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 (what asyncio says of stream protocols)
        self._transport = transport
        transport.set_write_buffer_limits(high=_WRITE_AHEAD)
        self._is_open = True
        if self._is_aborted:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        del exc
        self._is_open = False
        self._transport = None
        self._front.leave(self)
        if self._source is not None:
            self._source.close()
            self._source = None
        if self._task is not None:
            self._task.cancel()

    def get_buffer(self, sizehint: int) -> bytearray:
        """Where the next bytes go."""
        del sizehint
        return _READ

    def buffer_updated(self, nbytes: int) -> None:
        """Some more of a request."""
        if self._source is not None:
            return  # whoever listens to a stream has nothing more to say
        if self._is_idle:
            self._is_idle = False
            self.deadline = self._now() + REQUEST_TIME
        self._wire.receive_data(bytes(memoryview(_READ)[:nbytes]))
        self._pump()

    def eof_received(self) -> bool:
        """The client has said all it had to say; it may still wait for the answer."""
        if self._source is not None:
            return False
        self._wire.receive_data(b"")
        self._pump()
        return self._is_open and (self._task is not None or self.is_clogged)

    def pause_writing(self) -> None:
        """The client does not read."""
        self.is_clogged = True
        self.deadline = self._now() + REQUEST_TIME

    def resume_writing(self) -> None:
        """It does again."""
        self.is_clogged = False
        if self._source is not None:
            self.deadline = None
            self._source.flowing()
        elif self._is_open:
            self.deadline = self._now() + IDLE_TIME
            self._go_on()

    # -- requests --------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Handle everything that has arrived completely."""
        self._said = 0
        while self._is_open and not self.is_busy:
            if self.is_clogged:
                self._pause_reading()
                return
            if self._said > _TURN:
                self._pause_reading()
                asyncio.get_running_loop().call_soon(self._go_on)
                return
            try:
                event = self._wire.next_event()
            except h11.RemoteProtocolError as error:
                self._refuse(error.error_status_hint, str(error))
                return
            if event is h11.NEED_DATA:
                return
            if isinstance(event, h11.Request):
                self._begin_request(event)
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > BODY_BYTES:
                    self._refuse(413, "the body is too large")
            elif isinstance(event, h11.EndOfMessage) and self._head is not None:
                self._handle(self._head, bytes(self._body))
            else:  # PAUSED or the end of the connection
                self._hang_up()

    def _begin_request(self, head: h11.Request) -> None:
        self._head = head
        self._only_head = head.method == b"HEAD"
        self.deadline = self._now() + REQUEST_TIME
        if len(head.target) > _TARGET_BYTES:
            self._refuse(414, "the path is too long")
        elif {b"content-length", b"transfer-encoding"} <= {name for name, _ in head.headers}:
            # RFC 9112, 6.3: a proxy before us may go by the other one, and take what follows for a request.
            self._refuse(400, "Content-Length and Transfer-Encoding contradict each other")
        elif self._wire.they_are_waiting_for_100_continue:
            self._write(h11.InformationalResponse(status_code=100, headers=[]))

    def _handle(self, head: h11.Request, body: bytes) -> None:
        self._body.clear()
        given = dict(head.headers)
        side = self._front.side_of(given)
        if side is None:
            self._respond(as_json({"error": "a page of another site asks"}, 403))
            return
        path, query = parse(head.target.decode("latin-1"))
        request = Request(
            method=head.method.decode(),
            path=path,
            query=query,
            body=body,
            side=side,
            peer=self._peer,
            accept=given.get(b"accept", b"").decode("latin-1"),
        )
        answer = self._front.answer(request)
        if isinstance(answer, Response):
            self._respond(answer)
        elif isinstance(answer, Stream):
            self._begin_stream(answer)
        else:
            self._pause_reading()
            self._task = asyncio.ensure_future(answer)
            self.deadline = None
            self._task.add_done_callback(self._answered)

    def _answered(self, task: "asyncio.Future[Response]") -> None:
        self._task = None
        if task.cancelled() or not self._is_open:
            return
        self._respond(task.result())
        self._go_on()

    def _go_on(self) -> None:
        """Handle what has come while it had to wait, and read again."""
        if self._transport is not None and self._is_open and not self.is_clogged:
            self._transport.resume_reading()
            self._pump()

    def _respond(self, response: Response) -> None:
        event = _head(response.status, response.content_type, len(response.body), response.headers)
        head = self._wire.send(event) or b""
        body = b"" if self._only_head else self._wire.send(h11.Data(data=response.body)) or b""
        self._wire.send(h11.EndOfMessage())
        if self._transport is None or not self._is_open:
            return
        self._transport.write(head + body)
        self._said += len(head) + len(body)
        self._head = None
        self._is_idle = True
        self.deadline = self._now() + (REQUEST_TIME if self.is_clogged else IDLE_TIME)
        if self._wire.our_state is h11.DONE and self._wire.their_state is h11.DONE:
            self._wire.start_next_cycle()
        else:
            self._hang_up()

    def _refuse(self, status: int, message: str) -> None:
        """Say what is wrong, if it can still be said, and hang up."""
        if self._wire.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            response = as_json({"error": message}, status, connection="close")
            self._respond(response)
        self._hang_up()

    def _write(self, event: h11.Event) -> None:
        data = self._wire.send(event)
        if data and self._transport is not None and self._is_open:
            self._transport.write(data)

    def _pause_reading(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def _hang_up(self) -> None:
        """Say no more; what was said may still be taken for a while."""
        if self._transport is not None and self._is_open:
            self._is_open = False
            self.deadline = self._now() + REQUEST_TIME
            self._transport.close()

    # -- streams ---------------------------------------------------------------------------------------

    def _begin_stream(self, stream: Stream) -> None:
        self._front.admit_stream(self)
        headers = [("content-type", EVENTS), *_COMMON_HEADERS]
        self._write(h11.Response(status_code=200, headers=headers))
        if self._only_head:
            self.end()
            return
        self.deadline = None
        self._source = stream.begin(self)
        self._source.flowing()

    def send(self, data: bytes) -> None:
        """Queue one or more events of a stream."""
        self._write(h11.Data(data=data))

    def end(self) -> None:
        """The stream is over."""
        self._write(h11.EndOfMessage())
        self._hang_up()

    def close(self) -> None:
        """The runtime ends: who follows a stream is told that it is over, and everybody is hung up on."""
        if self._source is not None and self._is_open:
            self._write(h11.EndOfMessage())
        self.abort()

    def abort(self) -> None:
        """Hang up at once; what was not taken is lost."""
        self._is_aborted = True
        if self._transport is not None:
            self._transport.abort()


@functools.lru_cache(maxsize=32)
def _head(status: int, content_type: str, length: int, headers: tuple[tuple[str, str], ...]) -> h11.Response:
    """Most answers are like the last; checking their headers is a third of the work for a probe."""
    own = [("content-type", content_type), ("content-length", str(length))]
    return h11.Response(status_code=status, headers=[*own, *_COMMON_HEADERS, *headers])
