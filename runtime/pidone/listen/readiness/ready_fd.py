"""s6-style readiness: the process writes a line to a descriptor it was given.

Protocol: skarnet.org/software/s6/notifywhenup.html: everything up to the first newline is ignored.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import Final

from pidone.descriptors import close, pipe_to_us

_CHUNK: Final = 4096


class ReadyFd:
    """The pipe behind one descriptor of the process."""

    def __init__(self, loop: asyncio.AbstractEventLoop, number: int, on_ready: Callable[[], None]) -> None:
        self._loop = loop
        self._on_ready = on_ready
        self._read_end: int | None
        self._read_end, self._write_end = pipe_to_us()
        self._holds_write_end = True
        self.fds: Mapping[int, int] = {number: self._write_end}

    def spawned(self, pid: int) -> None:  # noqa: ARG002
        """Listen; our copy of the write end would hide that the process closed its own."""
        self._drop_write_end()
        if self._read_end is not None:
            self._loop.add_reader(self._read_end, self._read)

    def close(self) -> None:
        """The process ended, or never began."""
        self._drop_write_end()
        if self._read_end is not None:
            self._loop.remove_reader(self._read_end)
            close(self._read_end)
            self._read_end = None

    def _drop_write_end(self) -> None:
        if self._holds_write_end:
            close(self._write_end)
            self._holds_write_end = False

    def _read(self) -> None:
        if self._read_end is None:
            return
        try:
            data = os.read(self._read_end, _CHUNK)
        except BlockingIOError:
            return
        if b"\n" in data:
            self._on_ready()
        if not data or b"\n" in data:
            self.close()
