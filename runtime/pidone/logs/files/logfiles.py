"""Log files, for those who want them: which file each stream of each instance is written to."""

import contextlib
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from pidone.ecosystem.programs.remote import mount_among, points_now
from pidone.ecosystem.spec import AppSpec, Seconds
from pidone.logs.files.line_format import LineFormat, line_format_of
from pidone.logs.files.logfile import LogFile
from pidone.logs.files.rotation import Rotation, rotation
from pidone.logs.formats.shape import RecordIdentity
from pidone.logs.timestamps import WallClock
from pidone.places import real_path
from pidone.record import Record

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable

    from pidone.logs.files.remote_file import RemoteFile

_AnyFile: TypeAlias = "LogFile | RemoteFile"

NOWHERE: Final = frozenset(
    (
        *("", "null", "/dev/null", "/dev/stdout", "/dev/stderr", "/dev/fd/1", "/dev/fd/2"),
        *("/proc/1/fd/1", "/proc/1/fd/2", "/proc/self/fd/1", "/proc/self/fd/2"),
    )
)
"""Values of the file keys that mean no file; those that name stdout too: every line goes there anyway."""


class AppFileNews(Protocol):
    """Who is told about the files of apps; see `FileNews`."""

    def file_failed(self, app: AppSpec, path: Path, what: str, error: OSError, count: int) -> None: ...

    def file_restored(self, app: AppSpec, path: Path, lost: int) -> None: ...


class _NewsOf(Record):
    """`FileNews` of the app that has named a file first."""

    app: AppSpec
    news: AppFileNews

    def failed(self, path: Path, what: str, error: OSError, count: int) -> None:
        self.news.file_failed(self.app, path, what, error, count)

    def restored(self, path: Path, lost: int) -> None:
        self.news.file_restored(self.app, path, lost)


class FileSet:
    """Where the lines of one stream of one instance go besides stdout."""

    def __init__(self, files: "tuple[_AnyFile, ...]", line_format: LineFormat) -> None:
        """`line_format` makes of the text what it is in the files."""
        self._files = files
        self._format = line_format
        self._remote: list[RemoteFile] = [file for file in files if not isinstance(file, LogFile)]

    @property
    def may_be_full(self) -> bool:
        """Whether `full` and `overfull` have to be asked: hardly ever."""
        return bool(self._remote)

    @property
    def full(self) -> bool:
        """Whether who writes should wait for one of them."""
        return any(file.full for file in self._remote)

    @property
    def overfull(self) -> bool:
        """Whether even who has ended should."""
        return any(file.overfull for file in self._remote)

    def write(self, text: bytes) -> None:
        """The app's text as it wrote it; it may begin and end amid a line that is too long for one piece."""
        formatted = self._format(text)
        for file in self._files if formatted else ():
            file.write(formatted, self)


class LogFiles:
    """All files of all apps: two streams that name the same path share one file."""

    def __init__(
        self,
        clock: WallClock,
        news: AppFileNews,
        outputs: tuple[int, ...],
        loop: "AbstractEventLoop",
        on_room: "Callable[[], None]",
    ) -> None:
        """`outputs` are the descriptors of stdout and stderr; `on_room` is for those of `FileSet.full`."""
        self._clock = clock
        self._news = news
        self._outputs = outputs
        self._loop = loop
        self._on_room = on_room
        self._open: dict[Path, _AnyFile] = {}
        self._users: dict[Path, set[tuple[str, str]]] = {}

    def of(self, app: AppSpec, origin: RecordIdentity) -> FileSet | None:
        """The files of one stream; None if there are none, which is the normal case."""
        own = app.error_file if origin.stream == "stderr" else app.out_file
        named = [path_of(value, app, origin.instance, origin.pm_id) for value in (own, app.log_file)]
        points = points_now() if any(named) else ()
        paths: dict[Path, bool] = {}
        for path in filter(None, named):
            if points and mount_among(points, str(path)):  # nobody looks there but who writes it
                paths[path] = True
            elif not self._is_output(path):
                paths.setdefault(real_path(path), False)
        if not paths or app.disable_logs:
            return None
        rules = rotation(app.log_max_size, app.log_retain, compress=app.log_compress)
        files = tuple(self._file(path, rules, app, is_remote=remote) for path, remote in paths.items())
        return FileSet(files, line_format_of(app, origin, self._clock))

    def reopen(self) -> None:
        """All of them, at their next write."""
        for file in self._open.values():
            file.reopen()

    def forget(self, app: tuple[str, str]) -> None:
        """The app is gone: close what nobody else writes."""
        for path, users in list(self._users.items()):
            users.discard(app)
            if not users:
                del self._users[path]
                file = self._open.pop(path)
                if isinstance(file, LogFile):
                    file.close()
                else:
                    file.retire()

    def helpers(self) -> list[int]:
        """Who writes files for us."""
        return [pid for file in self._open.values() if not isinstance(file, LogFile) and (pid := file.helper)]

    def drain(self, patience: Seconds, until: Seconds) -> None:
        """Wait for files that others write, each until it has taken nothing for `patience`.

        Not after `until` (of time.monotonic).
        """
        since = time.monotonic()
        for file in self._open.values():
            if not isinstance(file, LogFile):
                file.drain(since, patience, until)

    def close(self) -> None:
        """The end."""
        for file in self._open.values():
            file.close()

    def _is_output(self, path: Path) -> bool:
        """Whether it is stdout by another name, as a link to /dev/stdout: every line goes there anyway."""
        with contextlib.suppress(OSError):
            status = path.stat()
            return any(os.path.samestat(status, os.fstat(fd)) for fd in self._outputs)
        return False

    def _file(self, path: Path, rules: Rotation, app: AppSpec, *, is_remote: bool) -> _AnyFile:
        self._users.setdefault(path, set()).add(app.key())
        file = self._open.get(path)
        if file is None:
            news = _NewsOf(app, self._news)
            file = self._remote(path, rules, news) if is_remote else self._plain(path, rules, news)
            self._open[path] = file
        file.rules = rules  # may have changed since the last incarnation
        return file

    def _plain(self, path: Path, rules: Rotation, news: _NewsOf) -> LogFile:
        return LogFile(path, rules, clock=self._clock, news=news, loop=self._loop)

    def _remote(self, path: Path, rules: Rotation, news: _NewsOf) -> "RemoteFile":
        from pidone.logs.files.remote_file import RemoteFile  # noqa: PLC0415 (few file systems may hang)

        return RemoteFile(path, rules, clock=self._clock, news=news, loop=self._loop, on_room=self._on_room)


def path_of(value: str | None, app: AppSpec, instance: int, pm_id: int) -> Path | None:
    """The file a key names for an instance, whose number is put in unless logs are merged.

    As in PM2 its id is put into `.log` files of PM2's, in place of a number that stands there.
    """
    if value is None or value.lower() in NOWHERE:
        return None
    path = Path(app.cwd, value)
    if app.merge_logs:
        return path
    if app.logs_by_id:
        return path.with_name(re.sub(r"(-[0-9]+)?\.log$", f"-{pm_id}.log", path.name))
    if app.instances == 1:
        return path
    return path.with_name(f"{path.stem}-{instance}{path.suffix}")
