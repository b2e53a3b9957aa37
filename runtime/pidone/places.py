"""Opening files in folders that strangers may write to: no link of theirs is followed.

An app of another uid may own the folder of its log file, and may put a link to any file there, at any moment.
So a path is walked folder by folder, each opened relative to the one before it and without following links
(path_resolution(7), O_PATH in open(2)). A link is followed only if root or the runtime's own user made it: it
is part of the image or of its configuration then (`access.log -> /dev/stdout`).
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, TypeAlias

from pidone.descriptors import close
from pidone.record import Record

if TYPE_CHECKING:  # the runtime has this module for its last words, and hardly ever any other need of pathlib
    from pathlib import Path

_AnyPath: TypeAlias = "str | Path"
_LINKS: Final = 40  # path_resolution(7): as many links are followed on the way
_LOOK: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER: Final = _LOOK | os.O_DIRECTORY
_APPEND: Final = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
"""O_NONBLOCK: a named pipe without a reader is an error and not a place to wait at."""
_ATTEMPTS: Final = 8
_FOLDER_MODE: Final = 0o755
_FILE_MODE: Final = 0o644
_WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


class FolderEntry(Record):
    """Where a path ends: an open folder and a name in it that is no link, but for the kernel's."""

    folder: int
    """Descriptor of the folder; whoever got the place closes it."""
    names: tuple[str, ...]
    """The path of the folder, without links."""
    name: str
    is_kernels: bool = False
    """It is a link in /proc (`/proc/self/fd/3`), which only the kernel itself can follow."""

    @property
    def path(self) -> "Path":
        """The one path without links on the way."""
        from pathlib import Path  # noqa: PLC0415 (whoever asks has it)

        return Path("/", *self.names, self.name)


class StrangersLinkError(PermissionError):
    """A link on the way is neither root's nor the runtime's own user's."""

    def __init__(self, told: str, uid: int) -> None:
        """It is `uid` who made it."""
        super().__init__(errno.EPERM, told)
        self.uid = uid


@contextlib.contextmanager
def place_of(path: _AnyPath, *, make_folders: bool = False) -> Iterator[FolderEntry]:
    """Walk to where an absolute path ends. Raises OSError, PermissionError for a stranger's link."""
    place = _walk(path, make_folders=make_folders)
    try:
        yield place
    finally:
        close(place.folder)


@contextlib.contextmanager
def folder_of(path: str) -> Iterator[int]:
    """The folder of an absolute path, as a descriptor, walked to alike; the name in it may be a link.

    Raises OSError, PermissionError for a stranger's link.
    """
    parent = os.path.dirname(path)
    if parent == "/":
        folder = os.open("/", _FOLDER)
    else:
        with place_of(parent) as place:
            folder = os.open(place.name, _FOLDER, dir_fd=place.folder)
    try:
        yield folder
    finally:
        close(folder)


def real_path(path: "Path") -> "Path":
    """The one name of a file, which need not be there; itself where the way is barred."""
    with contextlib.suppress(OSError), place_of(path) as place:
        return place.path
    with contextlib.suppress(OSError, RecursionError):
        if path.parent != path:
            return real_path(path.parent) / path.name
    return path


def open_to_append(path: _AnyPath) -> int:
    """Open a log file, and make it and its folders if they are not there. Raises OSError."""
    with place_of(path, make_folders=True) as place:
        fd = _open(place)
        try:
            _refuse_another_name(fd, place)
        except OSError:
            close(fd)
            raise
        return fd


def open_to_overwrite(path: _AnyPath) -> int:
    """Open a file that is there and empty it, if it is a regular one or the kernel's. Raises OSError."""
    with place_of(path) as place:
        nofollow = 0 if place.is_kernels else os.O_NOFOLLOW
        fd = os.open(place.name, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | nofollow, dir_fd=place.folder)
        try:
            _refuse_another_name(fd, place)
            if stat.S_ISREG(os.fstat(fd).st_mode) or not place.is_kernels:
                os.ftruncate(fd, 0)  # EINVAL for what is no regular file
        except OSError:
            close(fd)
            raise
        return fd


def is_same(status: os.stat_result, other: os.stat_result | None) -> bool:
    """Whether both are of one file."""
    return other is not None and os.path.samestat(status, other)


def status_of(folder: int, name: str) -> os.stat_result | None:
    """Of an entry itself, not of what a link points to; None if it is not there. Raises other OSErrors."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def entries_of(folder: int) -> list[str]:
    """Names of the regular files in a folder. Raises OSError."""
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        with os.scandir(fd) as entries:
            return [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
    finally:
        close(fd)


def _open(place: FolderEntry) -> int:
    if place.is_kernels:
        return os.open(place.name, _APPEND, dir_fd=place.folder)
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(FileNotFoundError):
            return os.open(place.name, _APPEND | os.O_NOFOLLOW, dir_fd=place.folder)
        with contextlib.suppress(FileExistsError):
            return os.open(
                place.name,
                _APPEND | os.O_NOFOLLOW | os.O_CREAT | os.O_EXCL,
                _FILE_MODE,
                dir_fd=place.folder,
            )
    raise FileExistsError(errno.EEXIST, "it comes and goes")


def _refuse_another_name(fd: int, place: FolderEntry) -> None:
    """A hard link that a stranger made is as bad as a link, where the kernel allows it (proc_sys_fs(5))."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink <= 1:
        return
    folder = os.fstat(place.folder)
    if folder.st_uid not in _trusted() or folder.st_mode & _WRITABLE_BY_OTHERS:
        raise PermissionError(errno.EPERM, "it has a second name, and strangers can write to its folder")


def _trusted() -> tuple[int, int]:
    return 0, os.geteuid()


def _walk(path: _AnyPath, *, make_folders: bool) -> FolderEntry:
    way = _Way(path)
    try:
        while (place := way.step(make_folders=make_folders)) is None:
            pass
    except BaseException:
        close(way.folder)
        raise
    return place


class _Way:
    """Where one is on a path, and what is left of it."""

    def __init__(self, path: _AnyPath) -> None:
        self.folder = os.open("/", _FOLDER)
        self._names: list[str] = []
        self._todo = _parts(str(path))
        self._links = 0

    def step(self, *, make_folders: bool) -> FolderEntry | None:
        """Go on by one name; the place if that is the last."""
        if not self._todo:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        name = self._todo.pop()
        if name == "..":
            self._enter(os.open("..", _FOLDER, dir_fd=self.folder), self._names[:-1])
            return None
        target = _link_in(self.folder, name)
        if target is None and self._todo:
            self._enter(_open_folder(self.folder, name, make=make_folders), [*self._names, name])
            return None
        if target is None or (not self._todo and _is_proc(self.folder)):
            return FolderEntry(self.folder, tuple(self._names), name, is_kernels=target is not None)
        self._follow(target)
        return None

    def _follow(self, target: str) -> None:
        self._links += 1
        if self._links > _LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if target.startswith("/"):
            self._enter(os.open("/", _FOLDER), [])
        self._todo += _parts(target)

    def _enter(self, folder: int, names: list[str]) -> None:
        close(self.folder)
        self.folder, self._names = folder, names


def _parts(path: str) -> list[str]:
    """Its names, the last one first."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _link_in(folder: int, name: str) -> str | None:
    """Where an entry points to; None if it is no link. Raises PermissionError if a stranger made it."""
    try:
        fd = os.open(name, _LOOK, dir_fd=folder)
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(fd)
        if not stat.S_ISLNK(status.st_mode):
            return None
        if status.st_uid not in _trusted():
            told = f"{name} is a link made by uid {status.st_uid}, not by root or the runtime's own user"
            raise StrangersLinkError(told, status.st_uid)
        return os.readlink("", dir_fd=fd)
    finally:
        close(fd)


def _open_folder(folder: int, name: str, *, make: bool) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=folder)
    except FileNotFoundError:
        if not make:
            raise
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, _FOLDER_MODE, dir_fd=folder)
    return os.open(name, _FOLDER, dir_fd=folder)


def _is_proc(folder: int) -> bool:
    return os.fstat(folder).st_dev == os.stat("/proc").st_dev
