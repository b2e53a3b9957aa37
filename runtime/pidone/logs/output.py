"""The bounded queue in front of stdout: one write per batch, never a wait, word when there is room again."""

import errno
import select
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pidone.ecosystem.spec import Bytes, Seconds
from pidone.logs.writers import IOV_MAX, Writer, open_writer

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

BATCH: Final[Bytes] = 256 * 1024
"""As much is written at once; less waits for the end of the loop's turn."""
FULL: Final[Bytes] = 1024 * 1024
"""Above this the apps' pipes are not read any more."""
ROOM: Final[Bytes] = 256 * 1024
"""Below this they are read again."""
OVERFULL: Final[Bytes] = 16 * 1024 * 1024
"""Not even the last words of a dead process are taken above this; they stay in its pipe for later.

A full pipe of short lines makes several megabytes of records, and they shall precede the exit event; but an
app that crashes again and again beside a stalled stdout must not eat the memory.
"""
_RETRY_S: Final[Seconds] = 1.0
_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)


class Output:
    """What shall be on one descriptor, in order."""

    def __init__(
        self,
        loop: "AbstractEventLoop",
        fd: int,
        *,
        on_lost: Callable[[OSError], None],
        on_room: Callable[[], None],
        on_no_space: Callable[[OSError], object] = bool,
    ) -> None:
        """`on_lost` is called once, from the loop, when the descriptor is found closed or broken.

        `on_no_space` hears that a disk is full, once until there is space again; it is tried again meanwhile.
        """
        self._loop = loop
        self._on_lost = on_lost
        self._on_room = on_room
        self._on_no_space = on_no_space
        self._queue: deque[bytes | memoryview] = deque()
        self._queued = 0
        self._was_full = False
        self._waiting: Callable[[], object] | None = None
        self._flush_due = False
        self._is_out_of_space = False
        self._writer: Writer | None = None
        try:
            self._writer = open_writer(fd)
        except OSError as error:
            loop.call_soon(on_lost, error)

    @property
    def full(self) -> bool:
        """Whether writers should be kept waiting."""
        return self._queued >= FULL

    @property
    def overfull(self) -> bool:
        """Whether even what cannot be produced again later should wait."""
        return self._queued >= OVERFULL

    @property
    def lost(self) -> bool:
        """Whether nothing can be written any more; what is put is thrown away."""
        return self._writer is None

    def put(self, data: bytes) -> None:
        """Queue `data` (whole records) and see that it is written."""
        if self._writer is None or not data:
            return
        self._queue.append(data)
        self._queued += len(data)
        self._was_full = self._was_full or self._queued >= FULL
        if self._waiting:
            return
        if self._queued >= BATCH:
            self._flush()
        elif not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush_at_end_of_turn)

    def drain(self, patience: Seconds, until: Seconds) -> bool:
        """Write what is queued; whether everything went out.

        Gives up when nothing could be written for `patience`, and when it is `until` (of time.monotonic).
        """
        self._stop_waiting()
        taken_at = time.monotonic()
        while self._writer and self._queue:
            try:
                self._write_some(self._writer)
                taken_at = time.monotonic()
            except BlockingIOError:
                # It may be said to have room and take nothing all the same.
                left = min(taken_at + patience, until) - time.monotonic()
                poll = select.poll()
                poll.register(self._writer.fd, select.POLLOUT)
                if left <= 0 or not poll.poll(left * 1000):
                    return False
            except OSError as error:
                self._lose(error)
        return not self._queue and not self.lost

    def close(self) -> None:
        """Give everything back; what is still queued is lost."""
        self._stop_waiting()
        self._queue.clear()
        self._queued = 0
        if self._writer:
            self._writer.close()
            self._writer = None

    def _flush_at_end_of_turn(self) -> None:
        self._flush_due = False
        if not self._waiting:
            self._flush()

    def _flush(self) -> None:
        """Write until there is nothing left or no room."""
        writer = self._writer
        if writer is None:
            return
        try:
            while self._queue:
                self._write_some(writer)
        except BlockingIOError:
            self._wait(writer)
        except OSError as error:
            if error.errno in _NO_SPACE:
                if not self._is_out_of_space:
                    self._is_out_of_space = True
                    self._on_no_space(error)
                self._stop_waiting()
                self._waiting = self._loop.call_later(_RETRY_S, self._retry).cancel
            else:
                self._lose(error)
                return
        else:
            self._is_out_of_space = False
            self._stop_waiting()
        if self._was_full and self._queued <= ROOM:
            self._was_full = False
            self._loop.call_soon(self._on_room)

    def _write_some(self, writer: Writer) -> None:
        """One system call."""
        queue = self._queue
        taken = writer.write([queue[i] for i in range(min(len(queue), IOV_MAX))])
        self._queued -= taken
        while taken:
            first = queue.popleft()
            if taken < len(first):
                queue.appendleft(memoryview(first)[taken:])
                return
            taken -= len(first)

    def _wait(self, writer: Writer) -> None:
        if self._waiting:
            return
        try:
            self._loop.add_writer(writer.fd, self._flush)
        except OSError:  # epoll_ctl(2): EPERM for a file that cannot be polled, ENOSPC for one too many
            self._waiting = self._loop.call_later(_RETRY_S, self._retry).cancel
        else:
            self._waiting = lambda: self._loop.remove_writer(writer.fd)

    def _retry(self) -> None:
        self._waiting = None
        self._flush()

    def _stop_waiting(self) -> None:
        if self._waiting:
            self._waiting()
            self._waiting = None

    def _lose(self, error: OSError) -> None:
        """Throw away what is queued and all that will be: the apps are not to hang while they are stopped."""
        self.close()
        self._was_full = False
        self._loop.call_soon(self._on_room)
        self._loop.call_soon(self._on_lost, error)
