"""The process that writes a log file whose file system may not answer: see `remote_file.py`.

It ends when it has written all that it was given and the runtime has closed its pipe. Signals that a terminal
or `kill -1` sends to everybody do not end it before.
"""

import gc
import os
import select
import signal
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

from pidone.cpickle import pickle
from pidone.descriptors import close_all_but, null
from pidone.ecosystem.spec import Bytes
from pidone.logs.files.logfile import LogFile
from pidone.logs.files.rotation import Rotation
from pidone.logs.timestamps import WallClock

HEAD: Final = struct.Struct("=B?Q")
"""Of an order: its kind, whether another writer begins, and how many bytes follow."""
DATA, REOPEN, RULES = range(3)
_PART: Final[Bytes] = 1 << 18
_IGNORED: Final = (
    *(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2),
    *(signal.SIGALRM, signal.SIGWINCH, signal.SIGPIPE, signal.SIGCHLD),  # nobody waits for its packers
)


def be_the_writer(path: Path, rules: Rotation, clock: WallClock, *, orders: int, answers: int) -> NoReturn:
    """In a child of the runtime, which never returns."""
    try:
        signal.set_wakeup_fd(-1)
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.setsid()
        gc.freeze()
        nowhere = null(os.O_RDWR)
        for standard in range(3):  # whoever waits for the end of the runtime's stdout does not wait for this
            os.dup2(nowhere, standard)
        close_all_but(0, 1, 2, orders, answers)
        _Writing(path, rules, clock, orders, answers).run()
    finally:
        os._exit(0)


class _Readers:
    """What a packer needs of a loop."""

    def __init__(self) -> None:
        self.callbacks: dict[int, Callable[[], object]] = {}

    def add_reader(self, fd: int, callback: Callable[[], object], /) -> None:
        self.callbacks[fd] = callback

    def remove_reader(self, fd: int, /) -> None:
        self.callbacks.pop(fd, None)


class _Writing:
    """Carries out one order after the other; it is the `FileNews` of its file."""

    def __init__(self, path: Path, rules: Rotation, clock: WallClock, orders: int, answers: int) -> None:
        self._readers = _Readers()
        self._file = LogFile(path, rules, clock=clock, news=self, loop=self._readers)
        self._orders = orders
        self._answers = answers
        self._waiting = bytearray()
        self._writer = object()
        self._done = self._lines = 0

    def run(self) -> None:
        """Until nobody gives orders any more."""
        while True:
            poll = select.poll()
            for fd in (self._orders, *self._readers.callbacks):
                poll.register(fd, select.POLLIN)
            ready = [fd for fd, _ in poll.poll()]
            for fd in ready:
                if callback := self._readers.callbacks.get(fd):
                    callback()
            if self._orders in ready:
                part = os.read(self._orders, _PART)
                if not part:
                    break
                self._waiting += part
                self._obey()
        self._file.close()

    def failed(self, path: Path, what: str, error: OSError, count: int) -> None:  # noqa: ARG002
        """See `FileNews`."""
        why = " ".join((error.strerror or str(error)).split())
        self._say(f"f {what} {error.errno or 0} {count} {why}")

    def restored(self, path: Path, lost: int) -> None:  # noqa: ARG002
        """See `FileNews`."""
        self._say(f"r {lost}")

    def _say(self, line: str) -> None:
        os.write(self._answers, line.encode(errors="replace")[: select.PIPE_BUF - 1] + b"\n")

    def _obey(self) -> None:
        """Every order that has come in whole. What one writer has to say is one write."""
        said: list[bytes] = []
        at = 0
        while len(self._waiting) - at >= HEAD.size:
            kind, begins, size = HEAD.unpack_from(self._waiting, at)
            end = at + HEAD.size + size
            if len(self._waiting) < end:
                break
            data = bytes(self._waiting[at + HEAD.size : end])
            at = end
            self._done += 1
            if begins or kind != DATA:
                self._write(said)
            if begins:
                self._writer = object()
            if kind == DATA:
                said.append(data)
            elif kind == REOPEN:
                self._file.reopen()
            else:
                self._file.rules = pickle.loads(data)  # the runtime's own
        del self._waiting[:at]
        self._write(said)
        if at:
            self._say(f"d {self._done} {self._lines}")

    def _write(self, said: list[bytes]) -> None:
        if said:
            data = b"".join(said)
            said.clear()
            self._file.write(data, self._writer)
            self._lines += data.count(b"\n")
