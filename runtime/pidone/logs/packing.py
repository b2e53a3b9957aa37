"""Old log files are packed by a process of its own, so that neither the loop nor the apps wait for it."""

import contextlib
import gc
import os
import signal
from pathlib import Path
from typing import Final, NoReturn

from pidone.ecosystem.spec import Bytes
from pidone.logs.rotation import PACKED, PACKING, unpacked

_BLOCK: Final[Bytes] = 256 * 1024


class Packer:
    """Packs what is put aside of one log file, by one process at a time however fast the file grows."""

    def __init__(self) -> None:
        self._at_work = -1
        """Read end of a pipe whose other end only the process has."""

    def pack(self, path: Path) -> None:
        """See that everything that was put aside of `path` gets packed, without waiting for it.

        The process is an orphan for the reaper of `init/`. Raises OSError if none can be had.
        """
        if self._is_busy():  # it takes what was put aside meanwhile, too
            return
        self.close()
        self._at_work, theirs = os.pipe()
        os.set_blocking(self._at_work, False)
        try:
            if os.fork():
                return
            _pack_in_child(path, theirs)
        finally:
            os.close(theirs)

    def close(self) -> None:
        """Let go of the process, which finishes by itself."""
        if self._at_work >= 0:
            os.close(self._at_work)
            self._at_work = -1

    def _is_busy(self) -> bool:
        if self._at_work < 0:
            return False
        try:
            return os.read(self._at_work, 1) != b""
        except BlockingIOError:
            return True


def _pack_in_child(path: Path, kept_fd: int) -> NoReturn:
    code = 1
    try:
        _become_harmless(kept_fd)
        while waiting := unpacked(path):
            _gzip(waiting[0])
        code = 0
    finally:
        os._exit(code)


def _become_harmless(kept_fd: int) -> None:
    """Let go of what belongs to the runtime: its sockets and pipes, its signal handlers, its priority."""
    gc.disable()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for entry in Path("/proc/self/fd").iterdir():
        if int(entry.name) > 2 and int(entry.name) != kept_fd:
            with contextlib.suppress(OSError):  # the one that lists them
                os.close(int(entry.name))
    os.nice(10)


def _gzip(path: Path) -> None:
    """The packed file is complete before the plain one goes; whoever expires both meanwhile is right."""
    import zlib  # noqa: PLC0415 - only in the child

    packed = path.with_name(path.name + PACKED)
    draft = path.with_name(path.name + PACKING)
    packer = zlib.compressobj(6, zlib.DEFLATED, 16 + zlib.MAX_WBITS)  # 16: with gzip's header
    with contextlib.suppress(FileNotFoundError):
        with path.open("rb") as source, draft.open("wb") as target:
            while block := source.read(_BLOCK):
                target.write(packer.compress(block))
            target.write(packer.flush())
            status = os.fstat(source.fileno())
        os.utime(draft, ns=(status.st_atime_ns, status.st_mtime_ns))
        draft.rename(packed)
        path.unlink()
