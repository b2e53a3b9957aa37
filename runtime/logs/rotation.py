"""Which old log files are kept, what they are called, and how they are packed without the loop waiting."""

import contextlib
import gc
import os
import re
import signal
import time
from pathlib import Path
from typing import Final

from runtime.ecosystem.spec import Bytes, Seconds
from runtime.record import Record

_DAY_S: Final[Seconds] = 86_400.0
_AGES: Final = {"h": 3600.0, "d": _DAY_S, "w": 7 * _DAY_S}
_STAMP: Final = re.compile(r"\.\d{8}T\d{6}\.\d{3}Z(?:-\d+)?(?:\.gz)?")
_BLOCK: Final[Bytes] = 256 * 1024


class Rotation(Record, kw_only=True):
    """When a file is put aside, and how long."""

    max_size: Bytes | None = None
    keep_count: int | None = None
    keep_age: Seconds | None = None
    """With an age to keep, a file is also put aside at the end of each UTC day, or it would grow for ever."""
    compress: bool = False

    def due(self, size: Bytes, opened_at: float, now: float) -> bool:
        """Whether a file of `size`, begun at `opened_at` (seconds since the epoch), has to be put aside."""
        if size == 0:
            return False
        if self.max_size is not None and size >= self.max_size:
            return True
        return self.keep_age is not None and opened_at // _DAY_S != now // _DAY_S


def rotation(max_size: Bytes | None, retain: str, *, compress: bool) -> Rotation:
    """From the keys `log_max_size`, `log_retain` and `log_compress`.

    `retain` is a number of files (`30`), an age (`30d`, `12h`, `4w`), or `all`.
    """
    if retain == "all":
        return Rotation(max_size=max_size, compress=compress)
    if unit := _AGES.get(retain[-1]):
        return Rotation(max_size=max_size, keep_age=float(retain[:-1]) * unit, compress=compress)
    return Rotation(max_size=max_size, keep_count=int(retain), compress=compress)


def put_aside(path: Path, now: float) -> Path:
    """Rename a file to its name plus the time, and return the new name. Raises OSError."""
    whole, millis = divmod(int(now * 1000), 1000)
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(whole))
    target = base = path.with_name(f"{path.name}.{stamp}.{millis:03d}Z")
    number = 0
    while target.exists() or target.with_name(target.name + ".gz").exists():
        number += 1
        target = base.with_name(f"{base.name}-{number}")
    path.rename(target)
    return target


def expire(path: Path, rules: Rotation, now: float) -> None:
    """Remove what was put aside of `path` and is no longer to be kept."""
    aside = sorted(
        entry
        for entry in path.parent.iterdir()
        if entry.name.startswith(path.name) and _STAMP.fullmatch(entry.name[len(path.name) :])
    )
    if rules.keep_count is not None:
        for entry in aside[: max(len(aside) - rules.keep_count, 0)]:
            entry.unlink(missing_ok=True)
    if rules.keep_age is not None:
        for entry in aside:
            if entry.stat().st_mtime < now - rules.keep_age:
                entry.unlink(missing_ok=True)


def compress_in_child(path: Path) -> None:
    """Pack a file into `path.gz` in a process of its own, which the reaper of `init/` takes for an orphan."""
    if os.fork():
        return
    code = 1
    try:
        _become_harmless()
        _gzip(path)
        code = 0
    finally:
        os._exit(code)


def _become_harmless() -> None:
    """Let go of what belongs to the runtime: its sockets and pipes, its signal handlers, its priority."""
    gc.disable()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for entry in Path("/proc/self/fd").iterdir():
        if int(entry.name) > 2:
            with contextlib.suppress(OSError):  # the one that lists them
                os.close(int(entry.name))
    os.nice(10)


def _gzip(path: Path) -> None:
    import zlib  # noqa: PLC0415 - only in the child

    packed = path.with_name(path.name + ".gz")
    draft = path.with_name(path.name + ".part")
    packer = zlib.compressobj(6, zlib.DEFLATED, 16 + zlib.MAX_WBITS)  # 16: with gzip's header
    with path.open("rb") as source, draft.open("wb") as target:
        while block := source.read(_BLOCK):
            target.write(packer.compress(block))
        target.write(packer.flush())
        status = os.fstat(source.fileno())
    os.utime(draft, ns=(status.st_atime_ns, status.st_mtime_ns))
    draft.rename(packed)
    path.unlink()
