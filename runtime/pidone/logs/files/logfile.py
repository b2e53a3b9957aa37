"""One log file: opened at the first write, rotated when it is due; its trouble costs the file and no more."""

import os
import stat
from pathlib import Path
from typing import Protocol

from pidone.descriptors import close
from pidone.ecosystem.spec import Bytes
from pidone.logs.files.packing import EventLoop, Packer, write_all
from pidone.logs.files.rotation import Rotation, expire, put_aside
from pidone.logs.timestamps import WallClock
from pidone.logs.trouble import Trouble
from pidone.places import is_same, open_to_append, place_of, status_of


class FileNews(Protocol):
    """Who is told about a file."""

    def failed(self, path: Path, what: str, error: OSError, count: int) -> None:
        """`what` cannot be done with it; for the `count`-th time since this was told last."""

    def restored(self, path: Path, lost: int) -> None:
        """It is written again; so many lines are missing."""


class LogFile:
    """Appends lines; while that fails it is tried again from time to time, and the lines are missing."""

    def __init__(
        self, path: Path, rules: Rotation, *, clock: WallClock, news: FileNews, loop: EventLoop
    ) -> None:
        """`path` is absolute; `loop` attends to the process that packs what was put aside."""
        self.path = path
        self.rules = rules
        self._clock = clock
        self._news = news
        self._writing = self._trouble("written", clock)
        self._rotating = self._trouble("rotated", clock)
        self._packing = self._trouble("packed", clock)
        self._packer = Packer(path, loop, self._packing.failed)
        self._fd = -1
        self._size: Bytes = 0
        self._begun_at = 0.0
        self._is_regular = False
        self._lost = 0
        self._amid_line_of: object = None

    def write(self, data: bytes, writer: object = None) -> None:
        """Append; never raises. What comes amid the line of another writer begins a new one."""
        if self._writing.rests:
            self._lost += data.count(b"\n")
            return
        start = b"" if self._amid_line_of in (None, writer) else b"\n"
        try:
            if self._fd < 0:
                self._open()
            if self._is_regular and self.rules.due(self._size, self._begun_at, self._clock()):
                self._rotate()
            write_all(self._fd, start + data)
        except OSError as error:
            self._lost += data.count(b"\n")
            if self._fd >= 0 and os.fstat(self._fd).st_size != self._size:  # what comes next begins a line
                self._amid_line_of = self
            self._let_go()
            self._writing.failed(error)
            return
        self._size += len(start) + len(data)
        self._amid_line_of = None if data.endswith(b"\n") else writer
        if self._writing.lasts:
            self._writing.over()
            lost, self._lost = self._lost, 0
            self._news.restored(self.path, lost)

    def reopen(self) -> None:
        """Begin anew under the same name: the file was moved away, or there is room on the disk again."""
        self._let_go()
        self._writing.try_again()

    def close(self) -> None:
        """The end."""
        self._let_go()
        self._packer.close()

    def _trouble(self, what: str, clock: WallClock) -> Trouble:
        return Trouble(lambda error, count: self._news.failed(self.path, what, error, count), clock)

    def _let_go(self) -> None:
        """The next write opens it again."""
        if self._fd >= 0:
            close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        self._fd = open_to_append(self.path)
        status = os.fstat(self._fd)
        self._is_regular = stat.S_ISREG(status.st_mode)
        self._size = status.st_size
        self._begun_at = status.st_mtime if status.st_size else self._clock()

    def _rotate(self) -> None:
        """Put the file aside and begin a new one. Raises OSError if that cannot be opened."""
        if self._rotating.rests:
            return
        now = self._clock()
        try:
            self._put_aside(now)
        except FileNotFoundError:  # even its folder is gone: so much the better
            pass
        except OSError as error:  # it grows on
            self._rotating.failed(error)
            return
        self._rotating.over()
        self._let_go()
        self._open()
        try:
            with place_of(self.path) as place:
                expire(place, self.rules, now)
        except OSError as error:
            self._rotating.failed(error)

    def _put_aside(self, now: float) -> None:
        """If it is still the file of that name, and not what somebody has put in its place."""
        status = os.fstat(self._fd)
        with place_of(self.path) as place:
            if not is_same(status, status_of(place.folder, place.name)):
                return
            name = put_aside(place, now)
        if self.rules.compress:
            self._packer.pack(name, status)
