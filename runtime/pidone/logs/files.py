"""Log files, for those who want them: as PM2 writes them, rotated; trouble costs the file and no more."""

import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from pidone.ecosystem.spec import AppSpec, Bytes
from pidone.logs.dress import Dress, dress_of
from pidone.logs.packing import Packer
from pidone.logs.rotation import Rotation, expire, put_aside, rotation
from pidone.logs.shapes import Origin
from pidone.logs.timestamps import WallClock

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
    ) -> None:
        """`on_failure` is told once per failure."""
        self.path = path
        self.rules = rules
        self._clock = clock
        self._on_failure = on_failure
        self._packer = Packer()
        self._fd = -1
        self._size: Bytes = 0
        self._begun_at = 0.0
        self._is_regular = False
        self._given_up = False
        self._amid_line_of: object = None

    def write(self, data: bytes, writer: object = None) -> None:
        """Append; never raises. What comes amid the line of another writer begins a new one."""
        if self._given_up:
            return
        if self._amid_line_of not in (None, writer):
            data = b"\n" + data
        self._amid_line_of = None if data.endswith(b"\n") else writer
        try:
            if self._fd < 0:
                self._open()
            if self._is_regular and self.rules.due(self._size, self._begun_at, self._clock()):
                self._rotate()
            _write_all(self._fd, data)
            self._size += len(data)
        except OSError as error:
            self._let_go()
            self._given_up = True
            self._on_failure(self.path, error)

    def reopen(self) -> None:
        """Begin anew under the same name: the file was moved away, or there is room on the disk again."""
        self._let_go()
        self._given_up = False

    def close(self) -> None:
        """The end."""
        self._let_go()
        self._packer.close()

    def _let_go(self) -> None:
        """The next write opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # O_NONBLOCK: a named pipe without a reader is an error and not a place to wait at.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        self._fd = os.open(self.path, flags, 0o644)
        status = os.fstat(self._fd)
        self._is_regular = stat.S_ISREG(status.st_mode)
        self._size = status.st_size
        self._begun_at = status.st_mtime if status.st_size else self._clock()

    def _rotate(self) -> None:
        self._let_go()
        now = self._clock()
        with contextlib.suppress(FileNotFoundError):  # somebody has moved or removed it: so much the better
            put_aside(self.path, now)
        self._open()
        expire(self.path, self.rules, now)
        if self.rules.compress:
            with contextlib.suppress(OSError):  # no process to be had: the old file just stays as it is
                self._packer.pack(self.path)


class FileSet:
    """Where the lines of one stream of one instance go besides stdout."""

    def __init__(self, files: tuple[LogFile, ...], dress: Dress) -> None:
        """`dress` makes of the text what it is in the files."""
        self._files = files
        self._dress = dress

    def write(self, text: bytes) -> None:
        """The app's text as it wrote it; it may begin and end amid a line that is too long for one piece."""
        dressed = self._dress(text)
        for file in self._files if dressed else ():
            file.write(dressed, self)


class LogFiles:
    """All files of all apps: two streams that name the same path share one file."""

    def __init__(
        self,
        clock: WallClock,
        on_failure: Callable[[AppSpec, Path, OSError], None],
        outputs: tuple[int, ...],
    ) -> None:
        """`on_failure` gets the app too; `outputs` are the descriptors of stdout and stderr."""
        self._clock = clock
        self._on_failure = on_failure
        self._outputs = outputs
        self._open: dict[Path, LogFile] = {}
        self._users: dict[Path, set[tuple[str, str]]] = {}

    def of(self, app: AppSpec, origin: Origin) -> FileSet | None:
        """The files of one stream; None if there are none, which is the normal case."""
        own = app.error_file if origin.stream == "stderr" else app.out_file
        named = [_path(value, app, origin.instance) for value in (own, app.log_file)]
        paths = [path for path in named if path is not None and not self._is_output(path)]
        if not paths or app.disable_logs:
            return None
        rules = rotation(app.log_max_size, app.log_retain, compress=app.log_compress)
        files = tuple(self._file(path, rules, app) for path in dict.fromkeys(paths))
        return FileSet(files, dress_of(app, origin, self._clock))

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
        def failed(where: Path, error: OSError) -> None:
            self._on_failure(app, where, error)

        self._users.setdefault(path, set()).add(app.key())
        file = self._open.get(path)
        if file is None:
            file = self._open[path] = LogFile(path, rules, clock=self._clock, on_failure=failed)
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
    path = Path(os.path.realpath(path.parent), path.name)  # one file has one name, or it is rotated twice
    if app.merge_logs or app.instances == 1:
        return path
    return path.with_name(f"{path.stem}-{instance}{path.suffix}")


def _write_all(fd: int, data: bytes) -> None:
    """A short write is followed by the error that caused it."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
