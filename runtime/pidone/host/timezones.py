"""The time zone that schedules are read in: a name from the file, `$TZ`, or /etc/localtime."""

import os
from collections.abc import Mapping
from datetime import UTC, tzinfo
from pathlib import Path

from pidone.errors import ConfigError


def find_timezone(name: str) -> tzinfo:
    """A zone by its IANA name. Raises ConfigError if there is none."""
    zone = _by_name(name)
    if zone is None:
        raise ConfigError(
            f'timezone: no time zone is called {name!r}; expected a name such as "Europe/Berlin"'
        )
    return zone


def local_timezone(root: Path = Path("/"), environ: Mapping[str, str] = os.environ) -> tzinfo:
    """The container's zone with its DST rules, which `datetime.astimezone()` does not know; else UTC.

    `$TZ` is read as by tzset(3), but POSIX rules such as `CET-1CEST` are not: an unusable one is skipped.
    """
    wanted = environ.get("TZ")
    if wanted is not None:
        wanted = wanted.removeprefix(":")
        zone = _by_file(root / wanted.lstrip("/")) if wanted.startswith("/") else _by_name(wanted or "UTC")
        if zone is not None:
            return zone
    localtime = root / "etc/localtime"
    try:
        target = str(localtime.readlink())
    except OSError:  # not a link, or not there
        target = ""
    _, found, name = target.partition("zoneinfo/")
    return (_by_name(name) if found else None) or _by_file(localtime) or UTC


def _by_name(name: str) -> tzinfo | None:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415 (only schedules need zones)

    if name.upper() == "UTC":
        return UTC  # the one zone that needs no database
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # unknown; "../x" or NUL; a folder such as "America"
        return None


def _by_file(path: Path) -> tzinfo | None:
    from zoneinfo import ZoneInfo  # noqa: PLC0415 (only schedules need zones)

    try:
        with path.open("rb") as file:
            return ZoneInfo.from_file(file, key=str(path))
    except (ValueError, OSError):  # not a zone file; not there
        return None
