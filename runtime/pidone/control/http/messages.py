"""What a handler is asked and what it answers, without anything of HTTP's wire format."""

import json
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum, auto
from typing import Any, Final, Protocol, TypeAlias

from pidone.errors import ControlError
from pidone.record import EMPTY, Record

JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"
EVENTS: Final = "text/event-stream"


class Side(Enum):
    """Where a request came in, which decides what it may do."""

    LOCAL = auto()
    """The unix socket, from root or the runtime's own user: everything."""
    TRUSTED = auto()
    """TCP with the token: actions too, but no values of variables."""
    PUBLIC = auto()
    """TCP: reading only."""


class Request(Record, kw_only=True):
    """One complete request."""

    method: str
    path: tuple[str, ...]
    """Decoded segments."""
    query: Mapping[str, str] = EMPTY
    body: bytes = b""
    side: Side = Side.PUBLIC
    peer: str = ""
    """Who asks, for the log: `uid 0, pid 17` or an address."""
    accept: str = ""
    """Types that the client takes, as it said."""

    def document(self) -> Mapping[str, Any]:
        """The body as a JSON object, empty if there is none. Raises Refusal."""
        if not self.body:
            return {}
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            raise Refusal(400, "the body is not JSON") from None
        if not isinstance(value, dict):
            raise Refusal(400, "the body is not a JSON object")
        return value


class Response(Record):
    """One complete answer."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


class Sender(Protocol):
    """The other end of a stream of server-sent events."""

    def send(self, data: bytes) -> None:
        """Queue some bytes; to be called only while `is_clogged` is false."""

    @property
    def is_clogged(self) -> bool:
        """Whether the client does not read: nothing more before `on_flowing` is called."""

    def end(self) -> None:
        """The stream is over."""


class Feed(Protocol):
    """What feeds a stream."""

    def flowing(self) -> None:
        """The client has read what there was: more may be sent."""

    def close(self) -> None:
        """The client is gone."""


class Stream(Record):
    """An answer that goes on: text/event-stream, fed by what `begin` returns."""

    begin: Callable[[Sender], Feed]


Answer: TypeAlias = Response | Stream | Awaitable[Response]


class Refusal(ControlError):  # noqa: N818 (it is an answer, and named for what it says)
    """A request that is not carried out, with its HTTP status and machine-readable details."""

    def __init__(self, status: int, message: str, **details: object) -> None:
        """`details` become fields beside `error`."""
        super().__init__(message)
        self.status = status
        self.details = details

    def response(self) -> Response:
        """The answer: `{"error": message, ...}`."""
        return as_json({"error": str(self), **self.details}, self.status)


def as_json(value: object, status: int = 200, **headers: str) -> Response:
    """An answer with a JSON body."""
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(errors="replace") + b"\n"
    return Response(status, body, JSON, tuple(headers.items()))
