"""HTTP over the control socket, for commands: one connection per request, everything with a time limit."""

import json
import os
import socket
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Self

import h11

from pidone.cli.operate.scarcity import give_way
from pidone.control import peers, socket_file
from pidone.errors import ControlError

if TYPE_CHECKING:
    from pidone.ecosystem.spec import Seconds

TIMEOUT: "Final[Seconds]" = 15.0
_MOST_BYTES: Final = 64 * 1024 * 1024

_UNRESERVED: Final = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
)  # RFC 3986

_UNUSABLE: Final = 422
"""Status: a file that the runtime was to read is wrong."""

_GONE: Final = "the runtime hung up: it was killed, or ended at once"

NO_RUNTIME: Final = 69
"""Exit code: nobody listens (EX_UNAVAILABLE)."""
NO_TARGET: Final = 66
"""Exit code: there is no such app (EX_NOINPUT)."""
REFUSED: Final = 1
"""Exit code: the runtime did not do it, or it did not work."""
NOT_PERMITTED: Final = 77
"""Exit code: the socket belongs to another user (EX_NOPERM)."""


class CommandError(ControlError):
    """A command failed: what to say, and the exit code."""

    def __init__(self, message: str, code: int = REFUSED) -> None:
        """Both."""
        super().__init__(message)
        self.code = code


class Client:
    """Talks to one runtime."""

    def __init__(self, path: str, timeout: "Seconds" = TIMEOUT) -> None:
        """`path` is its socket."""
        self.path = path
        self._timeout = timeout

    @classmethod
    def find(cls, given: str | None = None, environ: Mapping[str, str] | None = None) -> Self:
        """The runtime at `given`, or the one that can be found. Raises CommandError."""
        give_way()
        if given is not None:
            return cls(given)
        environ = os.environ if environ is None else environ
        found = socket_file.find(environ)
        if not found:
            raise CommandError(socket_file.none_found(environ), NO_RUNTIME)
        return cls(found[0])

    def get(self, *segments: str, **query: str) -> Any:
        """The JSON at a path. Raises CommandError."""
        return self.request("GET", segments, query=query)

    def post(self, *segments: str, body: object = None) -> Any:
        """Ask for a change; the JSON that comes back. Raises CommandError."""
        return self.request("POST", segments, body=body)

    def probe(self, name: str) -> tuple[bool, str]:
        """Whether a probe says yes, and what it says. Raises CommandError."""
        with self._connect() as sock:
            response, wire = self._ask(sock, "GET", f"/{name}", b"")
            return response.status_code == 200, self._body(sock, wire).decode(errors="replace")

    def request(
        self,
        method: str,
        segments: tuple[str, ...],
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
    ) -> Any:
        """One exchange. Raises CommandError with what the runtime said."""
        data = b"" if body is None else json.dumps(body).encode()
        with self._connect() as sock:
            response, wire = self._ask(sock, method, _target(segments, query or {}), data)
            text = self._body(sock, wire)
        try:
            value = json.loads(text)
        except ValueError:
            raise CommandError(f"{self.path} does not speak pidone's language") from None
        if response.status_code >= 400:
            raise _refusal(response.status_code, value)
        return value

    def stream(self, *segments: str, **query: str) -> Iterator[tuple[str, str]]:
        """Server-sent events as (event, data), until the runtime ends in order. Raises CommandError."""
        events = self.events(*segments, **query)
        try:
            for lot in events:
                yield from lot
        finally:
            events.close()

    def events(self, *segments: str, **query: str) -> "Events":
        """The same in lots, as they come; another thread may close them. Raises CommandError."""
        sock = self._connect()
        try:
            response, wire = self._ask(sock, "GET", _target(segments, query), b"")
            refusal = None if response.status_code == 200 else json.loads(self._body(sock, wire))
            sock.settimeout(None)
        except BaseException:
            sock.close()
            raise
        if refusal is not None:
            sock.close()
            raise _refusal(response.status_code, refusal)
        return Events(sock, self._chunks(sock, wire))

    def _connect(self) -> socket.socket:
        try:
            return peers.connect(self.path, self._timeout)
        except OSError as error:
            code = NOT_PERMITTED if isinstance(error, PermissionError) else NO_RUNTIME
            raise CommandError(f"{self.path}: {error.strerror or error}", code) from None

    def _ask(
        self, sock: socket.socket, method: str, target: str, body: bytes
    ) -> tuple[h11.Response, h11.Connection]:
        wire = h11.Connection(h11.CLIENT)
        headers = [("host", "pidone"), ("connection", "close"), ("content-length", str(len(body)))]
        data = wire.send(h11.Request(method=method, target=target, headers=headers)) or b""
        data += (wire.send(h11.Data(data=body)) or b"") + (wire.send(h11.EndOfMessage()) or b"")
        try:
            sock.sendall(data)
            while True:
                event = wire.next_event()
                if event is h11.NEED_DATA:
                    if not (part := sock.recv(65536)):
                        raise CommandError(_GONE, NO_RUNTIME)
                    wire.receive_data(part)
                elif isinstance(event, h11.Response):
                    return event, wire
        except TimeoutError:
            raise CommandError(f"no answer within {self._timeout:g} s", NO_RUNTIME) from None
        except ConnectionError:
            raise CommandError(_GONE, NO_RUNTIME) from None
        except OSError as error:
            raise CommandError(f"{self.path}: {error}", NO_RUNTIME) from None
        except h11.RemoteProtocolError as error:
            raise CommandError(f"{self.path} does not speak HTTP: {error}", NO_RUNTIME) from None

    def _body(self, sock: socket.socket, wire: h11.Connection) -> bytes:
        body = bytearray()
        for chunk in self._chunks(sock, wire):
            body += chunk
            if len(body) > _MOST_BYTES:
                raise CommandError("the answer is too long")
        return bytes(body)

    def _chunks(self, sock: socket.socket, wire: h11.Connection) -> Iterator[bytes]:
        try:
            while True:
                event = wire.next_event()
                if event is h11.NEED_DATA:
                    wire.receive_data(sock.recv(65536))
                elif isinstance(event, h11.Data):
                    yield bytes(event.data)
                elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
                    return
        except TimeoutError:
            raise CommandError(f"no answer within {self._timeout:g} s", NO_RUNTIME) from None
        except (OSError, h11.RemoteProtocolError):
            raise CommandError(_GONE, NO_RUNTIME) from None


class Events:
    """Server-sent events, each time as many as have come."""

    def __init__(self, sock: socket.socket, chunks: Iterator[bytes]) -> None:
        """`chunks` reads from `sock`."""
        self._sock = sock
        self._chunks = chunks

    def __iter__(self) -> Iterator[list[tuple[str, str]]]:
        """Lots of (event, data), until the runtime ends in order. Raises CommandError, also when closed."""
        with self._sock:
            partial = ""
            for chunk in self._chunks:
                partial += chunk.decode(errors="replace")
                *events, partial = partial.split("\n\n")
                if lot := list(filter(None, map(_event, events))):
                    yield lot

    def close(self) -> None:
        """No more: whoever waits for the next ones is told that there are none."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:  # the other end was faster
            return


def _target(segments: tuple[str, ...], query: Mapping[str, str]) -> str:
    """The target of a request. Raises CommandError for an empty segment, which would mean something else."""
    if "" in segments:
        raise CommandError("the name of an app is empty: a variable that is not set?", NO_TARGET)
    path = "/" + "/".join(map(_quoted, segments))
    words = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in query.items())
    return f"{path}?{words}" if words else path


def _quoted(text: str) -> str:
    """As it stands in a target; urllib costs a command that names a plain app more than its request."""
    if _UNRESERVED.issuperset(text):
        return text
    from urllib.parse import quote

    return quote(text, safe="")


def _event(text: str) -> tuple[str, str] | None:
    name, data = "", []
    for line in text.split("\n"):
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field in ("data", "data:"):
            data.append(value)
    return (name, "\n".join(data)) if data else None


def _refusal(status: int, value: Any) -> CommandError:
    message = str(value.get("error", value)) if isinstance(value, dict) else str(value)
    if status == _UNUSABLE:
        return CommandError(message, os.EX_CONFIG)
    if status != 404 or not isinstance(value, dict):
        return CommandError(message)
    from difflib import get_close_matches

    wanted = message.rpartition("app ")[2].strip("'\"").partition(":")[0]
    known = [str(name) for name in value.get("known", ())]
    close = get_close_matches(wanted, known, 1)
    hint = f"; did you mean {close[0]}?" if close else f" (there are: {', '.join(known)})" if known else ""
    return CommandError(message + hint, NO_TARGET)
