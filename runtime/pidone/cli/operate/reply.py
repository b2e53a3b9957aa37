"""What a command hears over the control socket: HTTP/1.1, as far as the runtime's own side speaks it.

The runtime itself, which strangers may talk to, has h11 for that. Here it was a sixth of a command's time:
its import compiles classes and patterns, all to read one answer of a runtime whose user has been checked.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final

_MOST_HEAD: Final = 16 * 1024
"""Bytes of what comes before the body, and of a line between chunks."""
_HEAD_END: Final = rb"\n\r?\n"
_VERSIONS: Final = (b"HTTP/1.1", b"HTTP/1.0")
_MOST_DIGITS: Final = 16
_HEXADECIMAL: Final = frozenset(b"0123456789abcdefABCDEF")


class NoHttpError(Exception):
    """What came is no HTTP, and why."""


class CutError(Exception):
    """The other end has hung up in the middle of it."""


class Reply:
    """One answer, taken as it comes."""

    def __init__(self, receive: Callable[[], bytes]) -> None:
        """`receive` gives what has come, at last nothing. Raises what that does, CutError and NoHttpError."""
        self._receive = receive
        self._come = b""
        self.status = 100
        while self.status < 200:  # an interim one
            head = self._head()
            self.status = _status(head[0])
        self._fields = dict(map(_field, head[1:]))

    def chunks(self) -> Iterator[bytes]:
        """The body, in the parts in which it comes. Raises as above."""
        if self._fields.get(b"transfer-encoding", b"").lower() == b"chunked":
            yield from self._chunked()
        elif (length := self._fields.get(b"content-length")) is not None:
            if not length.isdigit():
                raise NoHttpError("illegal length")
            yield from self._exactly(int(length))
        else:  # it ends with the connection
            while part := self._some():
                yield part

    def _head(self) -> list[bytes]:
        while (end := re.search(_HEAD_END, self._come)) is None:
            if len(self._come) > _MOST_HEAD:
                raise NoHttpError("its head is too long")
            self._more()
        head, self._come = self._come[: end.start()], self._come[end.end() :]
        return [line.rstrip(b"\r") for line in head.split(b"\n")]

    def _chunked(self) -> Iterator[bytes]:
        while size := self._size():
            yield from self._exactly(size)
            if self._line():
                raise NoHttpError("illegal end of a chunk")
        while self._line():  # trailers
            continue

    def _size(self) -> int:
        digits = self._line().partition(b";")[0].strip()
        if not 0 < len(digits) <= _MOST_DIGITS or not _HEXADECIMAL.issuperset(digits):
            raise NoHttpError("illegal size of a chunk")
        return int(digits, 16)

    def _line(self) -> bytes:
        while b"\n" not in self._come:
            if len(self._come) > _MOST_HEAD:
                raise NoHttpError("a line is too long")
            self._more()
        line, _, self._come = self._come.partition(b"\n")
        return line.rstrip(b"\r")

    def _exactly(self, length: int) -> Iterator[bytes]:
        while length:
            if not self._come:
                self._more()
            part, self._come = self._come[:length], self._come[length:]
            length -= len(part)
            yield part

    def _some(self) -> bytes:
        part, self._come = self._come or self._receive(), b""
        return part

    def _more(self) -> None:
        part = self._receive()
        if not part:
            raise CutError
        self._come += part


def _status(line: bytes) -> int:
    version, _, rest = line.partition(b" ")
    code = rest[:3]
    if version not in _VERSIONS or len(code) != 3 or not code.isdigit() or rest[3:4].strip():
        raise NoHttpError("illegal status line")
    return int(code)


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon:
        raise NoHttpError("illegal header line")
    return name.strip().lower(), value.strip()
