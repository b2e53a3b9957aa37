"""PM2's wire format: AMP frames with a tag per argument, as axon's clients and servers exchange them.

Protocol: https://github.com/tj/node-amp (a byte of version and count, then each argument behind its length),
https://github.com/tj/node-amp-message (`j:` is JSON, `s:` text, anything else bytes).
"""

import json
from collections.abc import Iterator, Sequence
from typing import Final

from pidone.ecosystem.spec import Bytes

FRAME_BYTES: Final[Bytes] = 4 * 1024 * 1024
"""Of one frame, all arguments together; a client that sends more is hung up on."""
_VERSION: Final = 1
_MOST_ARGUMENTS: Final = 15
_LENGTH: Final = 4


class WireError(ValueError):
    """What came is no such frame."""


def encode(*arguments: object) -> bytes:
    """One frame; texts as texts, everything else as JSON."""
    frame = bytearray([_VERSION << 4 | len(arguments)])
    for argument in arguments:
        packed = f"s:{argument}" if isinstance(argument, str) else f"j:{json.dumps(argument)}"
        data = packed.encode(errors="replace")
        frame += len(data).to_bytes(_LENGTH, "big") + data
    return bytes(frame)


class Decoder:
    """Finds frames in what arrives in pieces."""

    def __init__(self) -> None:
        """Nothing has arrived."""
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[Sequence[object]]:
        """The arguments of each frame that is complete by now. Raises WireError."""
        self._rest += data
        while self._rest and (size := self._size()) is not None:
            frame, self._rest = bytes(self._rest[:size]), self._rest[size:]
            yield _arguments(frame)
        if len(self._rest) > FRAME_BYTES:
            raise WireError("a frame is too long")

    def _size(self) -> int | None:
        """Of the first frame; None if that cannot be told yet, or not all of it is there."""
        meta = self._rest[0]
        if meta >> 4 != _VERSION:
            raise WireError(f"version {meta >> 4} of the protocol is unknown")
        size = 1
        for _ in range(meta & _MOST_ARGUMENTS):
            end = size + _LENGTH
            if len(self._rest) < end:
                return None
            size = end + int.from_bytes(self._rest[size:end], "big")
            if size > FRAME_BYTES:
                raise WireError("a frame is too long")
        return size if len(self._rest) >= size else None


def _arguments(frame: bytes) -> Sequence[object]:
    found: list[object] = []
    at = 1
    while at < len(frame):
        begin = at + _LENGTH
        at = begin + int.from_bytes(frame[at:begin], "big")
        found.append(_unpacked(frame[begin:at]))
    return found


def _unpacked(data: bytes) -> object:
    if data.startswith(b"j:"):
        try:
            value: object = json.loads(data[2:])
        except (ValueError, RecursionError) as error:
            raise WireError(f"an argument is not JSON: {error}") from None
        return value
    return data[2:].decode(errors="replace") if data.startswith(b"s:") else data
