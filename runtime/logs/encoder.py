"""Lines to records: a whole chunk at once where its lines are alike, line by line only where they are not."""

from typing import Final

from runtime.logs.escape import utf8
from runtime.logs.lines import character_boundary
from runtime.logs.shapes import Shape

SLACK: Final = 8
r"""Bytes beyond the limit before an unfinished line is cut: a UTF-8 character or `\r\n` may be incomplete."""
_LEAST_ROOM: Final = 64


class Encoder:
    """Encodes one stream; only a line longer than `max_line` leaves a state behind."""

    def __init__(self, shape: Shape, *, level: str, max_line: int) -> None:
        """`level` is what a line has that does not say otherwise; `max_line` is bytes of a whole record."""
        self._shape = shape
        self._level = level
        prefix, suffix = shape.around("0000-00-00T00:00:00.000Z", "error", True)
        self._room = max(max_line - len(prefix) - len(suffix) - 1, _LEAST_ROOM)
        self._continues = False

    @property
    def room(self) -> int:
        """Escaped bytes of text that fit into one record."""
        return self._room

    def encode(self, lines: bytes, timestamp: str) -> bytes:
        r"""Records for whole lines of valid UTF-8, each ended by `\n`."""
        if not self._continues:
            return self._plain(lines, timestamp, self._level)
        self._continues = False
        end = lines.index(b"\n") + 1
        rest = self._plain(lines[:end], timestamp, self._level)
        return rest + self.encode(lines[end:], timestamp) if end < len(lines) else rest

    def encode_open(self, line: bytes, timestamp: str) -> tuple[bytes, bytes]:
        """Partial records for as much of an unfinished line as is too long anyway, and the rest of it.

        Where the cuts are depends on the line alone and not on how it arrived.
        """
        whole = character_boundary(line, len(line))
        text = utf8(line[:whole])
        pieces: list[bytes] = []
        done = 0
        while len(text) - done > self._room + SLACK:
            count = self._fitting(text[done : done + self._room + SLACK])
            pieces.append(self._record(text[done : done + count], timestamp, self._level, partial=True))
            done += count
        self._continues = self._continues or done > 0
        return b"".join(pieces), text[done:] + line[whole:]

    def _plain(self, lines: bytes, timestamp: str, level: str) -> bytes:
        escaped = self._shape.escape(lines)
        if _has_longer(escaped, self._room):
            return b"".join(self._cut(line, timestamp, level) for line in lines[:-1].split(b"\n"))
        prefix, suffix = self._shape.around(timestamp, level, False)
        return b"".join((prefix, escaped[:-1].replace(b"\n", suffix + b"\n" + prefix), suffix, b"\n"))

    def _cut(self, line: bytes, timestamp: str, level: str) -> bytes:
        """One line as one record, or as several of which all but the last say that they are partial."""
        pieces: list[bytes] = []
        while len(self._shape.escape(line)) > self._room:
            count = self._fitting(line[: self._room + SLACK])
            pieces.append(self._record(line[:count], timestamp, level, partial=True))
            line = line[count:]
        pieces.append(self._record(line, timestamp, level, partial=False))
        return b"".join(pieces)

    def _record(self, text: bytes, timestamp: str, level: str, *, partial: bool) -> bytes:
        prefix, suffix = self._shape.around(timestamp, level, partial)
        return b"".join((prefix, self._shape.escape(text), suffix, b"\n"))

    def _fitting(self, text: bytes) -> int:
        """How many bytes of `text` fit into one record after escaping, at least one character."""
        count = character_boundary(text, self._room)
        while count > 1 and (size := len(self._shape.escape(text[:count]))) > self._room:
            count = character_boundary(text, max(min(count - 1, count * self._room // size), 1)) or 1
        return count


def _has_longer(lines: bytes, limit: int) -> bool:
    """Whether any line is longer than `limit`, found by hops of that length."""
    start = 0
    while len(lines) - start > limit:
        end = lines.rfind(b"\n", start, start + limit + 1)
        if end < 0:
            return True
        start = end + 1
    return False
