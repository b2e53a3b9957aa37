"""Log files, for those who want them: which file each stream of each instance is written to."""

import contextlib
import os
import re
from pathlib import Path
from typing import Final, Protocol

from pidone.ecosystem.spec import AppSpec
from pidone.logs.files.line_format import LineFormat, line_format_of
from pidone.logs.files.logfile import LogFile
from pidone.logs.files.packing import EventLoop
from pidone.logs.files.rotation import Rotation, rotation
from pidone.logs.formats.shape import RecordIdentity
from pidone.logs.timestamps import WallClock
from pidone.places import real_path
from pidone.record import Record

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

    def __init__(self, files: tuple[LogFile, ...], line_format: LineFormat) -> None:
        """`line_format` makes of the text what it is in the files."""
        self._files = files
        self._format = line_format

    def write(self, text: bytes) -> None:
        """The app's text as it wrote it; it may begin and end amid a line that is too long for one piece."""
        formatted = self._format(text)
        for file in self._files if formatted else ():
            file.write(formatted, self)


class LogFiles:
    """All files of all apps: two streams that name the same path share one file."""

    def __init__(
        self, clock: WallClock, news: AppFileNews, outputs: tuple[int, ...], loop: EventLoop
    ) -> None:
        """`outputs` are the descriptors of stdout and stderr."""
        self._clock = clock
        self._news = news
        self._outputs = outputs
        self._loop = loop
        self._open: dict[Path, LogFile] = {}
        self._users: dict[Path, set[tuple[str, str]]] = {}

    def of(self, app: AppSpec, origin: RecordIdentity) -> FileSet | None:
        """The files of one stream; None if there are none, which is the normal case."""
        own = app.error_file if origin.stream == "stderr" else app.out_file
        named = [path_of(value, app, origin.instance, origin.pm_id) for value in (own, app.log_file)]
        paths = [real_path(path) for path in named if path is not None and not self._is_output(path)]
        if not paths or app.disable_logs:
            return None
        rules = rotation(app.log_max_size, app.log_retain, compress=app.log_compress)
        files = tuple(self._file(path, rules, app) for path in dict.fromkeys(paths))
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
                self._open.pop(path).close()

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

    def _file(self, path: Path, rules: Rotation, app: AppSpec) -> LogFile:
        self._users.setdefault(path, set()).add(app.key())
        file = self._open.get(path)
        if file is None:
            news = _NewsOf(app, self._news)
            file = LogFile(path, rules, clock=self._clock, news=news, loop=self._loop)
            self._open[path] = file
        file.rules = rules  # may have changed since the last incarnation
        return file


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
