"""Old log files are packed by a process of its own, so that neither the loop nor the apps wait for it."""

import contextlib
import errno
import gc
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn, Protocol

from pidone import procfs
from pidone.descriptors import close, close_all_but, fork_with_pipe
from pidone.ecosystem.spec import Bytes
from pidone.logs.files.rotation import PACKED, PACKING
from pidone.places import is_same, place_of, status_of

_BLOCK: Final[Bytes] = 256 * 1024
_PERMISSIONS: Final = 0o777


class EventLoop(Protocol):
    """What is needed of asyncio's."""

    def add_reader(self, fd: int, callback: Callable[[], object], /) -> object: ...

    def remove_reader(self, fd: int, /) -> object: ...


class Packer:
    """Packs what was put aside of one log file, by one process at a time however fast the file grows."""

    def __init__(self, path: Path, loop: EventLoop, on_failure: Callable[[OSError], None]) -> None:
        """`on_failure` is told of each process that could not be had or could not do all of its work."""
        self._path = path
        self._loop = loop
        self._on_failure = on_failure
        self._waiting: dict[str, os.stat_result] = {}
        """What this runtime has put aside and nobody packs yet: nothing else is packed."""
        self._report = -1
        """Read end of a pipe whose other end only the process has; it tells an errno, 0 for none."""
        self._pid = 0
        self._work: dict[str, os.stat_result] = {}
        """What the process packs."""

    def pack(self, name: str, status: os.stat_result) -> None:
        """See that a file that was put aside gets packed, without waiting for it.

        The process is an orphan for the reaper of `init/`.
        """
        self._waiting[name] = status
        if self._report < 0:
            self._start()
        else:
            self._has_ended()
            if self._report >= 0 and procfs.state(self._pid) == "T":  # stopped by a signal
                with contextlib.suppress(ProcessLookupError):  # it has ended since
                    os.kill(self._pid, signal.SIGKILL)  # its end is told

    def close(self) -> None:
        """Let go of the process, which finishes by itself."""
        if self._report >= 0:
            self._loop.remove_reader(self._report)
            close(self._report)
            self._report = -1

    def _start(self) -> None:
        work, self._waiting = self._waiting, {}
        try:
            self._pid, self._report = fork_with_pipe(lambda report: _pack_in_child(self._path, work, report))
        except OSError as error:  # no process to be had: all of it waits for the next file
            self._waiting = work
            self._on_failure(error)
            return
        self._work = work
        with contextlib.suppress(OSError):  # no room in epoll: it is looked after when the next file comes
            self._loop.add_reader(self._report, self._has_ended)

    def _has_ended(self) -> None:
        """Look after the process; another one takes what was put aside meanwhile."""
        try:
            code = os.read(self._report, 8)
        except BlockingIOError:
            return
        self.close()
        if not code:  # all of its work waits for the next file
            self._waiting = {**self._work, **self._waiting}
            self._on_failure(OSError(errno.ESRCH, "the process that packs was killed"))
            return
        if int(code):
            self._on_failure(OSError(int(code), os.strerror(int(code))))
        if self._waiting:
            self._start()


def _pack_in_child(path: Path, work: dict[str, os.stat_result], report: int) -> NoReturn:
    failure = errno.EIO
    try:
        try:
            _become_harmless(report)
            failure = _pack_all(path, work)
        except OSError as error:
            failure = error.errno or errno.EIO
        os.write(report, b"%d" % failure)
    finally:
        os._exit(min(failure, 1))


def _become_harmless(kept_fd: int) -> None:
    """Let go of what belongs to the runtime: its sockets and pipes, its signal handlers, its priority."""
    gc.disable()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    close_all_but(0, 1, 2, kept_fd)
    os.nice(10)


def _pack_all(path: Path, work: dict[str, os.stat_result]) -> int:
    """Every one that can be packed; the errno of the last failure, or 0."""
    failure = 0
    with place_of(path) as place:
        for name, status in work.items():
            try:
                _gzip(place.folder, name, status)
            except FileNotFoundError:  # expired meanwhile
                continue
            except OSError as error:
                failure = error.errno or errno.EIO
    return failure


def _gzip(folder: int, name: str, put_aside: os.stat_result) -> None:
    """The packed file is complete before the plain one goes; whoever expires both meanwhile is right.

    It has the owner, the rights and the time of the plain one, from its first byte on.
    """
    draft = name + PACKING
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        status = os.fstat(source)
        if not stat.S_ISREG(status.st_mode) or not is_same(status, put_aside):
            return  # somebody's else under that name
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=folder)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        target = os.open(draft, flags, stat.S_IRUSR | stat.S_IWUSR, dir_fd=folder)
        try:
            _compress(source, target)
            with contextlib.suppress(PermissionError):  # no right to give files away: it stays ours
                os.fchown(target, status.st_uid, status.st_gid)
            os.fchmod(target, status.st_mode & _PERMISSIONS)
            os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
        except OSError:
            os.unlink(draft, dir_fd=folder)
            raise
        finally:
            close(target)
        os.rename(draft, name + PACKED, src_dir_fd=folder, dst_dir_fd=folder)
        if is_same(status, status_of(folder, name)):
            os.unlink(name, dir_fd=folder)
    finally:
        close(source)


def _compress(source: int, target: int) -> None:
    import zlib  # noqa: PLC0415 - only in the child

    packer = zlib.compressobj(6, zlib.DEFLATED, 16 + zlib.MAX_WBITS)  # 16: with gzip's header
    while block := os.read(source, _BLOCK):
        write_all(target, packer.compress(block))
    write_all(target, packer.flush())


def write_all(fd: int, data: bytes) -> None:
    """A short write is followed by the error that caused it. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
