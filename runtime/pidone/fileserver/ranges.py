"""Parts of files: what a Range header asks for, and reading no further (RFC 9110, 14).

Players of videos cannot do without, Safari's not even to begin; downloads are resumed with it.
"""

import re
from typing import BinaryIO, Final

_SINGLE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


def part_of(header: str, size: int) -> range | None:
    """The bytes of a file that are asked for, an empty range if it has none of them.

    None where the whole file is the answer: to several ranges at once, other units, and nonsense.
    """
    found = _SINGLE.fullmatch(header.strip())
    first, last = found.groups() if found else ("", "")
    if first and last and int(first) > int(last):
        return None
    if first:
        return range(int(first), min(size, int(last) + 1) if last else size)
    return range(max(0, size - int(last)), size) if last else None


class Part:
    """A file that ends early, as far as copying it goes."""

    def __init__(self, file: BinaryIO, part: range) -> None:
        """Only these bytes of `file`, which is closed with this."""
        file.seek(part.start)
        self._file = file
        self._left = len(part)

    def read(self, size: int = -1) -> bytes:
        """The next bytes; none at the end."""
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data

    def close(self) -> None:
        """It was sent, or the client has gone."""
        self._file.close()
