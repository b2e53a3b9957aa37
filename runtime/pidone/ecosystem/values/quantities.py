"""Durations and sizes: how they are read, what to warn of, and how they are written back."""

import re
from collections.abc import Mapping
from typing import Final

from pidone.ecosystem.spec import MemoryLimit, MemoryShare, Seconds
from pidone.ecosystem.values import NUMBER, Invalid, number
from pidone.ecosystem.values.fragments import any_case

_DURATION_UNITS: Final[Mapping[str, float]] = {
    "ms": 0.001,
    "s": 1.0,
    "sec": 1.0,
    "m": 60.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
}
_DURATION_PART: Final = (
    r"([0-9]{1,15}(?:\.[0-9]{1,9})?|\.[0-9]{1,9})\s*"
    rf"({any_case(('ms', 'sec', 's', 'min', 'm', 'h', 'd', 'w'))})\s*"
)
DURATION: Final = f"({_DURATION_PART})+"
LONGEST_S: Final = 10 * 365 * 86400.0
_SUSPICIOUS_MS: Final = 100
_SUSPICIOUS_BYTES: Final = 65536
_DURATION_EXPECTED: Final = 'expected a duration such as "5s", "1h30m", "500ms", or milliseconds as a number'


def parse_duration(value: object) -> Seconds:
    """Seconds from "1h30m", "1.5s", "500ms"; a bare number is milliseconds, as everywhere in PM2."""
    seconds = _milliseconds(value)
    if seconds is None:
        seconds = _with_units(value)
    if not 0 <= seconds <= LONGEST_S:
        raise Invalid(_DURATION_EXPECTED + " (not negative, at most ten years)")
    return seconds


def _milliseconds(value: object) -> Seconds | None:
    if isinstance(value, str) and not re.fullmatch(NUMBER, value.strip()):
        return None
    milliseconds = number(value, _DURATION_EXPECTED)
    return milliseconds / 1000 if milliseconds > 0 else milliseconds  # the least negative one would become 0


def _with_units(value: object) -> Seconds:
    if not re.fullmatch(DURATION, text := str(value).strip()):
        raise Invalid(_DURATION_EXPECTED)
    return sum(
        float(count) * _DURATION_UNITS[unit.lower()] for count, unit in re.findall(_DURATION_PART, text)
    )


def advise_duration(value: object) -> str | None:
    """Milliseconds that were probably meant as seconds."""
    try:
        milliseconds = number(value)
    except Invalid:
        return None
    if not 0 < milliseconds < _SUSPICIOUS_MS:
        return None
    return f'a bare number is milliseconds: {milliseconds:g} ms; write "{milliseconds:g}s" for seconds'


def write_duration(seconds: Seconds | None) -> object:
    """The shortest form that reads back to the same duration."""
    if seconds is None:
        return None
    milliseconds = round(seconds * 1000, 6)
    if milliseconds != int(milliseconds):
        return milliseconds
    if not milliseconds or milliseconds % 1000:
        return f"{int(milliseconds)}ms"
    whole = int(milliseconds) // 1000
    parts = []
    for unit, size in (("h", 3600), ("m", 60), ("s", 1)):
        if count := whole // size:
            parts.append(f"{count}{unit}")
            whole %= size
    return "".join(parts)


SIZE: Final = r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([KMGTkmgt]?)([Ii]?[Bb])?"
_SIZE_UNITS: Final[Mapping[str, int]] = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
SHARE: Final = r"([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*%\s*(/\s*[Nn])?"
LARGEST_BYTES: Final = 2**60
_SIZE_EXPECTED: Final = 'expected a size such as "500M" or "1.5G", or bytes as a number'
_LIMIT_EXPECTED: Final = (
    'expected a size such as "500M" or "1.5G", a share such as "80%", or bytes as a number'
)


def parse_size(value: object, expected: str = _SIZE_EXPECTED) -> int:
    """Bytes from "500M", "1.5G", "1GB", "512k" (all by 1024, as in PM2) or a bare number of bytes."""
    if isinstance(value, str):
        found = re.fullmatch(SIZE, value.strip())
        if not found:
            raise Invalid(expected)
        size = float(found[1]) * _SIZE_UNITS[found[2].lower()] if "." in found[1] else 0
        size = int(size) if size else int(float(found[1])) * _SIZE_UNITS[found[2].lower()]
    else:
        size = int(number(value, expected) // 1)
    if not 0 <= size <= LARGEST_BYTES:
        raise Invalid(expected)
    return size


def parse_optional_size(value: object) -> int | None:
    """Like a size; 0 and false switch it off."""
    return None if value is False else parse_size(value) or None


def parse_limit(value: object) -> MemoryLimit | None:
    """A size or a share of the container's memory; 0 and false are no limit."""
    if value is False:
        return None
    if isinstance(value, str) and (found := re.fullmatch(SHARE, value.strip())):
        percent = float(found[1])
        if not 0 < percent <= 100:
            raise Invalid("expected a share from 1% to 100%")
        return MemoryShare(fraction=percent / 100, per_instance=bool(found[2]))
    return parse_size(value, _LIMIT_EXPECTED) or None


def write_size(size: MemoryLimit | None) -> object:
    """The shortest form that reads back to the same size."""
    if size is None:
        return 0
    if isinstance(size, MemoryShare):
        return f"{round(size.fraction * 100, 6):g}%" + ("/n" if size.per_instance else "")
    for unit in ("T", "G", "M", "K"):
        if size and size % _SIZE_UNITS[unit.lower()] == 0:
            return f"{size // _SIZE_UNITS[unit.lower()]}{unit}"
    return size


def advise_size(value: object) -> str | None:
    """Bytes that were probably meant as megabytes."""
    try:
        size = number(value)
    except Invalid:
        return None
    if not 0 < size < _SUSPICIOUS_BYTES:
        return None
    meant = f'"{size:.0%}" for a share' if size <= 1 else f'"{size:g}M" for megabytes'
    return f"a bare number is bytes: {size:g} bytes; write {meant}"
