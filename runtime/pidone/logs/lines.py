"""Bytes in, whole lines out: the same lines however what was written had been cut on its way."""

from typing import Final

MAX_UTF8_BYTES: Final = 4


class LineBuffer:
    """Keeps the unfinished last line of one stream between reads."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open = b""

    def feed(self, data: bytes) -> bytes:
        r"""Add what was read; return the lines that are complete now, ended by `\n` (`\r\n` becomes `\n`)."""
        end = data.rfind(b"\n") + 1
        if not end:
            self._open += data
            return b""
        whole = self._open + data[:end] if self._open else data[:end]
        self._open = data[end:]
        return whole.replace(b"\r\n", b"\n") if b"\r" in whole else whole

    @property
    def unfinished(self) -> bytes:
        """The line so far that has no end yet."""
        return self._open

    @unfinished.setter
    def unfinished(self, rest: bytes) -> None:
        """Go on with `rest`: what stood before it has been put out already."""
        self._open = rest

    def flush(self) -> bytes:
        r"""The unfinished line as if it had ended, or nothing."""
        if not self._open:
            return b""
        line, self._open = self._open + b"\n", b""
        return line


def character_boundary(data: bytes, at: int) -> int:
    """The last position not after `at` where `data` can be cut without cutting a UTF-8 character in two."""
    at = min(at, len(data))
    for back in range(1, MAX_UTF8_BYTES):
        lead = data[at - back] if at >= back else 0
        if lead & 0xC0 == 0x80:  # a continuation byte: its first byte is further left
            continue
        return at - back if back < _sequence_length(lead) else at
    return at


def has_longer(lines: bytes, limit: int) -> bool:
    """Whether any line is longer than `limit`, found by hops of that length."""
    start = 0
    while len(lines) - start > limit:
        end = lines.rfind(b"\n", start, start + limit + 1)
        if end < 0:
            return True
        start = end + 1
    return False


def _sequence_length(lead: int) -> int:
    """Bytes of the character that starts with `lead` (RFC 3629, table in section 3)."""
    return 4 if 0xF0 <= lead <= 0xF4 else 3 if lead >= 0xE0 else 2 if lead >= 0xC2 else 1
