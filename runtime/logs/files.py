"""Log files, for those who want them: as PM2 writes them, rotated; trouble costs the file and no more."""

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, TypeAlias

from runtime.ecosystem.spec import AppSpec
from runtime.logs.dates import date_formatter
from runtime.logs.encoder import Encoder
from runtime.logs.escape import utf8
from runtime.logs.rotation import Rotation, compress_in_child, expire, put_aside, rotation
from runtime.logs.shapes import LONG_LINE, Origin, pm2_json_shape
from runtime.logs.timestamps import Timestamps, WallClock
from runtime.record import Record

NOWHERE: Final = frozenset(
    (
        *("", "null", "/dev/null", "/dev/stdout", "/dev/stderr", "/dev/fd/1", "/dev/fd/2"),
        *("/proc/1/fd/1", "/proc/1/fd/2", "/proc/self/fd/1", "/proc/self/fd/2"),
    )
)
"""Values of the file keys that mean no file; those that name stdout too: every line goes there anyway."""

OnFailure: TypeAlias = Callable[[Path, OSError], None]


class LogFile:
    """One file, opened at the first write; given up after an error until `reopen`."""

    def __init__(
        self,
        path: Path,
        rules: Rotation,
        *,
        clock: WallClock,
        on_failure: OnFailure,
        compress: Callable[[Path], None] = compress_in_child,
    ) -> None:
        """`on_failure` is told once per failure; `compress` packs a file without being waited for."""
        self.path = path
        self.rules = rules
        self._clock = clock
        self._on_failure = on_failure
        self._compress = compress
        self._fd = -1
        self._size = 0
        self._begun_at = 0.0
        self._failed = False

    def write(self, data: bytes) -> None:
        """Append; never raises."""
        if self._failed:
            return
        try:
            if self._fd < 0:
                self._open()
            if self.rules.due(self._size, self._begun_at, self._clock()):
                self._rotate()
            _write_all(self._fd, data)
            self._size += len(data)
        except OSError as error:
            self.close()
            self._failed = True
            self._on_failure(self.path, error)

    def reopen(self) -> None:
        """Begin anew under the same name: the file was moved away, or there is room on the disk again."""
        self.close()
        self._failed = False

    def close(self) -> None:
        """Let go of the file; the next write opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # O_NONBLOCK: a named pipe without a reader is an error and not a place to wait at.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        self._fd = os.open(self.path, flags, 0o644)
        status = os.fstat(self._fd)
        self._size = status.st_size
        self._begun_at = status.st_mtime if status.st_size else self._clock()

    def _rotate(self) -> None:
        self.close()
        now = self._clock()
        aside = put_aside(self.path, now)
        self._open()
        expire(self.path, self.rules, now)
        if self.rules.compress:
            with contextlib.suppress(OSError):  # no process to be had: the old file just stays as it is
                self._compress(aside)


class FileSet(Record):
    """Where the lines of one stream of one instance go besides stdout."""

    files: tuple[LogFile, ...]
    dress: Callable[[bytes], bytes]
    """Whole lines as they are in the file."""

    def write(self, lines: bytes) -> None:
        """Whole lines, as the app wrote them."""
        dressed = self.dress(lines)
        for file in self.files:
            file.write(dressed)


class LogFiles:
    """All files of all apps: two streams that name the same path share one file."""

    def __init__(
        self,
        clock: WallClock,
        on_failure: Callable[[str, Path, OSError], None],
        compress: Callable[[Path], None] = compress_in_child,
    ) -> None:
        """`on_failure` gets the app's name too."""
        self._clock = clock
        self._on_failure = on_failure
        self._compress = compress
        self._open: dict[Path, LogFile] = {}
        self._users: dict[Path, set[tuple[str, str]]] = {}

    def of(self, app: AppSpec, origin: Origin) -> FileSet | None:
        """The files of one stream; None if there are none, which is the normal case."""
        own = app.error_file if origin.stream == "stderr" else app.out_file
        paths = [path for value in (own, app.log_file) if (path := _path(value, app, origin.instance))]
        if not paths or app.disable_logs:
            return None
        rules = rotation(app.log_max_size, app.log_retain, compress=app.log_compress)
        files = tuple(self._file(path, rules, app) for path in dict.fromkeys(paths))
        return FileSet(files, _dress(app, origin, self._clock))

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

    def paths(self) -> Iterable[Path]:
        """The files in use."""
        return self._open.keys()

    def _file(self, path: Path, rules: Rotation, app: AppSpec) -> LogFile:
        def failed(where: Path, error: OSError) -> None:
            self._on_failure(app.name, where, error)

        self._users.setdefault(path, set()).add(app.key())
        file = self._open.get(path)
        if file is None:
            file = self._open[path] = LogFile(
                path, rules, clock=self._clock, on_failure=failed, compress=self._compress
            )
        file.rules = rules  # may have changed since the last incarnation
        return file


def _path(value: str | None, app: AppSpec, instance: int) -> Path | None:
    """The file a key names for an instance; as in PM2 `-<instance>` is put in unless logs are merged."""
    if value is None or value.lower() in NOWHERE:
        return None
    path = Path(value)
    with contextlib.suppress(RuntimeError):  # `~` without a home: it stays a `~`
        path = path.expanduser()
    path = app.cwd / path
    if app.merge_logs or app.instances == 1:
        return path
    return path.with_name(f"{path.stem}-{instance}{path.suffix}")


def _dress(app: AppSpec, origin: Origin, clock: WallClock) -> Callable[[bytes], bytes]:
    stamp = date_formatter(app.log_date_format) if app.log_date_format else None
    if app.log_type == "json":
        timestamps = Timestamps(clock)
        encoder = Encoder(pm2_json_shape(origin), level="info", max_line=LONG_LINE)
        return lambda lines: encoder.encode(utf8(lines), stamp(clock()) if stamp else timestamps.now())
    if stamp is None:
        return lambda lines: lines

    def dated(lines: bytes) -> bytes:
        prefix = f"{stamp(clock())}: ".encode(errors="replace")
        return prefix + lines[:-1].replace(b"\n", b"\n" + prefix) + b"\n"

    return dated


def _write_all(fd: int, data: bytes) -> None:
    """A short write is followed by the error that caused it."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
