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

LINE_BYTES: Final = 1 << 20
"""Longest message; Node sets no limit, but one app must not be able to fill the memory of PID 1."""
UNSENT_BYTES: Final = 4 << 20
"""How much may wait for a process that does not read."""
_CHUNK: Final = 1 << 16
_MAX_FDS: Final = 16
_LAST_CHUNKS: Final = 64
"""More than a socket's buffer holds; a descendant that goes on writing must not keep us."""


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
        self._partial = bytearray()
        self._skipping = False
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
        if not self.is_open or self._unsent_bytes + len(line) > UNSENT_BYTES:
            return False
        # A copy: by the time it goes out the caller may have closed the original.
        copies = () if descriptor is None else (os.dup(descriptor),)
        self._unsent.append((line, copies))
        self._unsent_bytes += len(line)
        if len(self._unsent) == 1:
            self._write()
        return self.is_open

    def close(self) -> None:
        """Read what is there already, then hang up; a cluster worker exits then."""
        for _ in range(_LAST_CHUNKS):
            if not self._read():
                break
        self._hang_up()

    def _hang_up(self) -> None:
        if not self.is_open:
            return
        self._loop.remove_reader(self._end.fileno())
        self._loop.remove_writer(self._end.fileno())
        self._end.close()
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

    def _read(self) -> bool:
        """Take one chunk; False if there is nothing more now or ever."""
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
        self._feed(data)
        return True

    def _feed(self, data: bytes) -> None:
        head, *rest = data.split(b"\n")
        self._partial += head
        for following in rest:
            line = bytes(self._partial)
            self._partial[:] = following
            if not self._skipping:
                self._parse(line)
            self._skipping = False
            if not self.is_open:
                return
        if len(self._partial) > LINE_BYTES:
            if not self._skipping:
                self._on_nonsense(f"message longer than {LINE_BYTES} bytes")
            self._skipping = True
            self._partial.clear()

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
            os.close(descriptor)
