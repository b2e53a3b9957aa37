"""When a log file is put aside, what it is called then, how long it is kept."""

import contextlib
import os
import re
import time
from collections.abc import Iterable
from typing import Final

from pidone.ecosystem.spec import Bytes, Seconds
from pidone.places import FolderEntry, entries_of, status_of
from pidone.record import Record

_DAY_S: Final[Seconds] = 86_400.0
_AGES: Final = {"h": 3600.0, "d": _DAY_S, "w": 7 * _DAY_S}
PACKED: Final = ".gz"
PACKING: Final = ".part"
_ASIDE: Final = re.compile(r"\.(\d{8}T\d{6}\.\d{3})Z(?:-(\d+))?(?:\.gz|\.part)?")


class Rotation(Record, kw_only=True):
    """When a file is put aside, and how long."""

    max_size: Bytes | None = None
    keep_count: int | None = None
    keep_age: Seconds | None = None
    """With an age to keep, a file is also put aside after each UTC day, or such a time if that is shorter: it
    would grow for ever."""
    compress: bool = False

    def due(self, size: Bytes, opened_at: float, now: float) -> bool:
        """Whether a file of `size`, begun at `opened_at` (seconds since the epoch), has to be put aside."""
        if size == 0:
            return False
        if self.max_size is not None and size >= self.max_size:
            return True
        if not self.keep_age:
            return False
        period = min(self.keep_age, _DAY_S)
        return opened_at // period != now // period


def rotation(max_size: Bytes | None, retain: str, *, compress: bool) -> Rotation:
    """From the keys `log_max_size`, `log_retain` and `log_compress`.

    `retain` is a number of files (`30`), an age (`30d`, `12h`, `4w`), or `all`.
    """
    if retain == "all":
        return Rotation(max_size=max_size, compress=compress)
    if unit := _AGES.get(retain[-1]):
        return Rotation(max_size=max_size, keep_age=float(retain[:-1]) * unit, compress=compress)
    return Rotation(max_size=max_size, keep_count=int(retain), compress=compress)


def put_aside(place: FolderEntry, now: float) -> str:
    """Rename a file to its name plus the time, and return the new name. Raises OSError.

    A name that is taken is left alone, also by a link; should a stranger be faster, he loses his own entry.
    """
    whole, millis = divmod(int(now * 1000), 1000)
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(whole))
    target = base = f"{place.name}.{stamp}.{millis:03d}Z"
    number = 0
    while any(status_of(place.folder, target + end) for end in ("", PACKED, PACKING)):
        number += 1
        target = f"{base}-{number}"
    os.rename(place.name, target, src_dir_fd=place.folder, dst_dir_fd=place.folder)
    return target


def expire(place: FolderEntry, rules: Rotation, now: float) -> None:
    """Remove what was put aside of a file and is no longer to be kept. Raises OSError."""
    aside = _aside(place)
    doomed: list[list[str]] = []
    if rules.keep_count is not None:
        doomed += aside[: max(len(aside) - rules.keep_count, 0)]
    if rules.keep_age is not None:
        doomed += [names for names in aside if _written(place.folder, names) < now - rules.keep_age]
    for names in doomed:
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=place.folder)


def _aside(place: FolderEntry) -> list[list[str]]:
    """What was put aside of a file, oldest first; each as its names: there are several while it is packed."""
    found: dict[tuple[str, int], list[str]] = {}
    for entry in entries_of(place.folder):
        if entry.startswith(place.name) and (name := _ASIDE.fullmatch(entry[len(place.name) :])):
            found.setdefault((name[1], int(name[2] or 0)), []).append(entry)
    return [found[key] for key in sorted(found)]


def _written(folder: int, names: Iterable[str]) -> float:
    """When something was written last; a file that has been packed and removed meanwhile does not count."""
    return max((status.st_mtime for name in names if (status := status_of(folder, name))), default=0.0)
