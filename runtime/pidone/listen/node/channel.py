"""Node's IPC channel: one JSON value per line over a unix stream, descriptors beside it.

Protocol: lib/internal/child_process.js of Node with NODE_CHANNEL_SERIALIZATION_MODE=json.
"""

import asyncio
import contextlib
import json
import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Final

from pidone.descriptors import close

LINE_BYTES: Final = 1 << 20
"""Longest message; Node sets no limit, but one app must not be able to fill the memory of PID 1."""
UNSENT_BYTES: Final = 4 << 20
"""How much may wait for a process that does not read, with the memory that each message takes besides."""
PER_TURN: Final = 64
"""Messages per turn of the loop: a process that never stops talking must not starve the others."""
LAST_WORDS: Final = 2000
"""Messages that are heard of a process that has ended; more is a flood, and a stop does not wait for it."""
_PER_MESSAGE_BYTES: Final = 300
_CHUNK: Final = 1 << 16
_MAX_FDS: Final = 16


class Channel:
    """Our end: calls back with every message, and once when the other end is gone."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        end: socket.socket,
        *,
        on_message: Callable[[object], None],
        on_nonsense: Callable[[str], None],
        on_closed: Callable[[], None],
    ) -> None:
        """Take over `end`. `on_nonsense` hears why something that arrived was ignored."""
        end.setblocking(False)
        self._loop = loop
        self._end = end
        self._on_message = on_message
        self._on_nonsense = on_nonsense
        self._on_closed = on_closed
        self._chunk = b""
        """What was read last; up to `_heard` it has been acted on."""
        self._heard = 0
        self._partial = bytearray()
        """The beginning of a message that does not end in the last chunk."""
        self._skipping = False
        self._is_paused = False
        self._unsent: deque[tuple[memoryview, tuple[int, ...]]] = deque()
        self._unsent_bytes = 0
        loop.add_reader(end.fileno(), self._read)

    @property
    def is_open(self) -> bool:
        """Whether the other end may still be there."""
        return self._end.fileno() >= 0

    def send(self, message: object, descriptor: int | None = None) -> bool:
        """Queue a message, with a copy of a descriptor if one is given. False: nobody will ever read it."""
        line = memoryview(json.dumps(message, separators=(",", ":")).encode() + b"\n")
        waiting = self._unsent_bytes + _PER_MESSAGE_BYTES * len(self._unsent)
        if not self.is_open or waiting + len(line) > UNSENT_BYTES:
            return False
        # A copy: by the time it goes out the caller may have closed the original.
        copies = () if descriptor is None else (os.dup(descriptor),)
        self._unsent.append((line, copies))
        self._unsent_bytes += len(line)
        if len(self._unsent) == 1:
            self._write()
        return self.is_open

    def close(self) -> None:
        """Hear what is there already, then hang up; a cluster worker exits then."""
        heard = self._hear(LAST_WORDS)
        while heard < LAST_WORDS and self._take():
            heard += self._hear(LAST_WORDS - heard)
        self._hang_up()

    def _hang_up(self) -> None:
        if not self.is_open:
            return
        self._loop.remove_reader(self._end.fileno())
        self._loop.remove_writer(self._end.fileno())
        close(self._end)
        while self._unsent:
            _close_all(self._unsent.popleft()[1])

    def _write(self) -> None:
        while self._unsent:
            line, copies = self._unsent[0]
            try:
                sent = socket.send_fds(self._end, [line], copies) if copies else self._end.send(line)
            except BlockingIOError:
                self._loop.add_writer(self._end.fileno(), self._write)
                return
            except OSError:  # the process is gone; what it wrote before is still to be read
                self._loop.remove_writer(self._end.fileno())
                return
            _close_all(copies)
            self._unsent_bytes -= sent
            if sent < len(line):
                self._unsent[0] = (line[sent:], ())
            else:
                self._unsent.popleft()
        self._loop.remove_writer(self._end.fileno())

    def _read(self) -> None:
        self._take()
        self._go_on()

    def _go_on(self) -> None:
        """Hear some of what was read, and read no more before all of it was heard."""
        self._hear(PER_TURN)
        if not self.is_open:
            return
        if self._heard < len(self._chunk):
            if not self._is_paused:
                self._loop.remove_reader(self._end.fileno())
            self._is_paused = True
            self._loop.call_soon(self._go_on)
        elif self._is_paused:
            self._is_paused = False
            self._loop.add_reader(self._end.fileno(), self._read)

    def _hear(self, most: int) -> int:
        """Act on messages; on how many."""
        heard = 0
        while heard < most and self.is_open and (line := self._next_line()) is not None:
            if not self._skipping:
                self._parse(line)
            self._skipping = False
            heard += 1
        return heard

    def _next_line(self) -> bytes | None:
        """The next whole line; None when there is only a part of one, which is kept."""
        end = self._chunk.find(b"\n", self._heard)
        if end >= 0:
            line = bytes(self._partial) + self._chunk[self._heard : end]
            self._partial.clear()
            self._heard = end + 1
            return line
        self._partial += self._chunk[self._heard :]
        self._chunk, self._heard = b"", 0
        if len(self._partial) > LINE_BYTES:
            if not self._skipping:
                self._on_nonsense(f"message longer than {LINE_BYTES} bytes")
            self._skipping = True
            self._partial.clear()
        return None

    def _take(self) -> bool:
        """Read one chunk; False if there is nothing more now or ever."""
        if not self.is_open:
            return False
        try:
            data, descriptors, _, _ = socket.recv_fds(self._end, _CHUNK, _MAX_FDS, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return False
        except OSError:  # ECONNRESET: it died with unread messages of ours
            data, descriptors = b"", []
        _close_all(descriptors)  # an app may send us handles; there is nothing we would do with one
        if not data:
            if self._partial:
                self._on_nonsense("ended in the middle of a message")
            self._hang_up()
            self._on_closed()
            return False
        self._chunk, self._heard = data, 0
        return True

    def _parse(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            self._on_nonsense(f"not JSON: {line[:60]!r}")
            return
        self._on_message(message)


def _close_all(descriptors: tuple[int, ...] | list[int]) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            close(descriptor)
