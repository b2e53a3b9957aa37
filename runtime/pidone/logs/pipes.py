"""The pipes of one incarnation: read in bounded portions, left full while stdout is, drained at the end."""

import fcntl
import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from pidone.descriptors import close
from pidone.ecosystem.spec import Bytes, Seconds
from pidone.logs.lines import LineBuffer

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

PIPE_SIZE: Final[Bytes] = 256 * 1024
"""Of each pipe, where the system allows it (pipe-user-pages-soft is shared by all processes of a user)."""
READ_SIZE: Final[Bytes] = 64 * 1024
"""Bytes of one stream per turn of the loop, so that every stream and every signal gets its turn."""
_LITTLE: Final[Bytes] = 256
LOOK_AFTER: Final[Seconds] = 0.05
"""How often a pipe is read that the kernel does not watch."""
_SLICE: Final[Bytes] = 32 * 1024
_SLICE_LINES: Final = 4096
_KEPT: Final[Bytes] = 1024 * 1024
"""So much is processed without asking whether stdout still has room: the records of a slice are a fraction of
what the queue holds, and those of ordinary lines stay in the caches."""


class LineSink(Protocol):
    """Takes the lines of one stream."""

    @property
    def room(self) -> int:
        """Bytes above which an unfinished line is handed over in pieces."""

    def lines(self, lines: bytes, count: int) -> None:
        r"""So many whole lines, each ended by `\n`."""

    def unfinished(self, line: bytes) -> bytes:
        """A line that is already too long; returns the part that is still needed."""

    def ended(self) -> None:
        """Nothing is in the pipe now and the process is gone: hold nothing back."""


class Gate(Protocol):
    """Whether there is room for more output."""

    @property
    def full(self) -> bool: ...

    @property
    def overfull(self) -> bool: ...


class PipeReader:
    """The read end of one pipe."""

    def __init__(
        self,
        loop: "AbstractEventLoop",
        fd: int,
        make_sink: Callable[[], LineSink],
        gate: Gate,
        on_read: Callable[["PipeReader"], None],
        on_end: Callable[["PipeReader"], None],
        on_failure: Callable[[OSError], None],
    ) -> None:
        """`on_read` is called after every read of the loop, `on_end` once everything was handed over.

        The sink is made for the first bytes that come: many a stream, and most of stderr, never says a word.
        `on_end` may be called from within any method here, and more than once; so may `on_failure`, when the
        kernel watches no more pipes (this one is read by the clock then), or does not let it be read.
        """
        self._loop = loop
        self._fd = fd
        self._make_sink = make_sink
        self._made: LineSink | None = None
        self._gate = gate
        self._on_read = on_read
        self._on_end = on_end
        self._on_failure = on_failure
        self._look_due = False
        self._buffer = LineBuffer()
        self._backlog = b""
        self._reading = False
        self._drain_due = False

    @property
    def _sink(self) -> LineSink:
        if self._made is None:
            self._made = self._make_sink()
        return self._made

    @property
    def closed(self) -> bool:
        """Whether the pipe has been read to its end."""
        return self._fd < 0

    @property
    def done(self) -> bool:
        """Whether everything was handed over and nothing more will come."""
        return self.closed and not self._backlog

    @property
    def drained(self) -> bool:
        """Whether everything that was in the pipe at the last `drain` was handed over."""
        return not (self._drain_due or self._backlog)

    @property
    def held_up(self) -> bool:
        """Whether its output has no room for more."""
        return self._gate.full

    def resume(self) -> None:
        """Read when there is something to read; first what was left over."""
        if self._drain_due:
            self.drain()
        elif self.closed:
            self._end()
        else:
            self._work()
        if not (self.closed or self._backlog or self._reading or self._gate.full):
            self._watch()

    def pause(self) -> None:
        """If stdout has no room, leave in the pipe what is in the pipe."""
        if self._reading and self._gate.full:
            self._reading = False
            self._loop.remove_reader(self._fd)

    def drain(self) -> None:
        """Take everything that is in the pipe now: the process that wrote it is gone.

        A pipe never holds more than its capacity, so reading that much is enough even if a descendant of the
        process goes on writing.
        """
        self._drain_due = True
        left = 0 if self.closed else _capacity(self._fd)
        self._work(last_words=True)
        while left > 0 and not self._gate.overfull and (count := self._read(last_words=True)):
            left -= count
        if not self._gate.overfull:
            self._drain_due = False
            self._end()

    def close(self) -> None:
        """Stop reading for good."""
        if self.closed:
            return
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._fd)
        close(self._fd)
        self._fd = -1

    def _watch(self) -> None:
        if self._look_due:
            return
        try:
            self._loop.add_reader(self._fd, self._turn)
        except OSError as error:  # epoll_ctl(2): ENOSPC, ENOMEM
            self._on_failure(error)
            self._look_due = True
            self._loop.call_later(LOOK_AFTER, self._look)
        else:
            self._reading = True

    def _look(self) -> None:
        self._look_due = False
        if not self.closed and not self._gate.full:
            self._turn()
        self.resume()

    def _turn(self) -> None:
        self._read(last_words=False)
        if not self.done:
            self._on_read(self)

    def _read(self, *, last_words: bool) -> int:
        """Read once; 0 if nothing is there or nothing will come any more."""
        if self.closed:
            return 0
        try:
            data = _read(self._fd)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._on_failure(error)
            data = b""
        if not data:
            self.close()
            self._end()
            return 0
        if len(data) == READ_SIZE:
            _expect_much()
        self._backlog += self._buffer.feed(data)
        self._work(last_words=last_words)
        if len(self._buffer.unfinished) > self._sink.room and not self._backlog:
            self._buffer.unfinished = self._sink.unfinished(self._buffer.unfinished)
        return len(data)

    def _work(self, *, last_words: bool = False) -> None:
        """Hand over what was read, in slices, until stdout is full."""
        while self._backlog:
            if self._gate.overfull if last_words else self._gate.full:
                return
            end, count = _slice_of(self._backlog)
            lines, self._backlog = self._backlog[:end], self._backlog[end:]
            self._sink.lines(lines, count)

    def _end(self) -> None:
        """A last line without an end is a line."""
        self._backlog += self._buffer.flush()
        self._work(last_words=True)
        if self._backlog:
            return
        if self._made is not None:
            self._made.ended()
        if self.closed:
            self._on_end(self)


def _read(fd: int) -> bytes:
    """What is there. Where memory is lacking, little of it: a pipe that is not read is told without end."""
    try:
        return os.read(fd, READ_SIZE)
    except MemoryError:
        return os.read(fd, _LITTLE)


@functools.cache
def _expect_much() -> None:
    """Have the memory of one slice's records kept for those of the next, once an app writes that much.

    glibc gives the end of its heap back when 128 KiB of it are free, which records of a slice are, and each
    slice would have its pages from the kernel anew: 8 % of the CPU time of plain lines. A block that it has
    mapped and gets back raises that limit to twice its size (mallopt(3), M_MMAP_THRESHOLD).
    """
    bytes(_KEPT)


def _slice_of(lines: bytes) -> tuple[Bytes, int]:
    """Where to cut whole lines, and how many stand before: about a slice, exact is not needed, cheap is."""
    end = lines.find(b"\n", _SLICE) + 1 or len(lines)
    count = lines.count(b"\n", 0, end)
    if count > _SLICE_LINES:
        end = lines.find(b"\n", end * _SLICE_LINES // count) + 1
        count = lines.count(b"\n", 0, end)
    return end, count


class PipeOutlet:
    """stdout and stderr of one incarnation; see `contracts.Outlet`."""

    def __init__(self, make_reader: Callable[[int, str, int], PipeReader]) -> None:
        """`make_reader` is called with a read end, `stdout` or `stderr`, and the pid that writes.

        Raises OSError when no descriptors are left.
        """
        self._make_reader = make_reader
        self._reads: list[int] = []
        self._writes: list[int] = []
        self._readers: list[PipeReader] = []
        try:
            for _ in range(2):
                read, write = os.pipe()  # close-on-exec, both ends
                self._reads.append(read)
                self._writes.append(write)
                os.set_blocking(read, False)
                _enlarge(read)
        except OSError:
            self.finish()
            raise

    @property
    def stdout(self) -> int:
        """Write end for the child's descriptor 1."""
        return self._writes[0]

    @property
    def stderr(self) -> int:
        """Write end for the child's descriptor 2."""
        return self._writes[1]

    def spawned(self, pid: int) -> None:
        """The process runs as `pid`: close the write ends here and start reading."""
        self._close_writes()
        self._readers = [
            self._make_reader(fd, name, pid)
            for fd, name in zip(self._reads, ("stdout", "stderr"), strict=True)
        ]
        self._reads.clear()
        for reader in self._readers:
            reader.resume()

    def finish(self) -> None:
        """The process ended, or never started: see `contracts.Outlet.finish`."""
        self._close_writes()
        for fd in self._reads:
            close(fd)
        self._reads.clear()
        for reader in self._readers:
            reader.drain()
        self._readers.clear()

    def _close_writes(self) -> None:
        for fd in self._writes:
            close(fd)
        self._writes.clear()


def _capacity(fd: int) -> Bytes:
    """What a pipe holds at most."""
    try:
        return fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)
    except OSError:  # no pipe of ours holds more
        return PIPE_SIZE


def _enlarge(fd: int) -> None:
    """More room means fewer switches between writer and reader; a refusal changes nothing else."""
    try:
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    except OSError:
        return
