"""The kinds of value a key can have: how each is read, described to an editor, and written back.

A kind reads any plain value (what JSON can say) and either returns the resolved one or raises Invalid with
what would have been right. Strings are read as generously as PM2 reads them, and a little more.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from runtime import signames
from runtime.ecosystem.document import KeyPath
from runtime.ecosystem.spec import MemoryLimit, MemoryShare, Seconds
from runtime.errors import ConfigError


class Finding(NamedTuple):
    """One thing wrong inside a value: where (from that value), what stands there, what would be right."""

    path: KeyPath
    value: object
    expected: str


class Invalid(ValueError):  # noqa: N818  # it is caught where it becomes a ConfigError's line
    """A value is not of its kind. Without findings the value as a whole is meant."""

    def __init__(self, expected: str = "", findings: Iterable[Finding] = ()) -> None:
        super().__init__(expected)
        self.expected = expected
        self.findings = tuple(findings)


def _no_advice(value: object) -> str | None:
    del value
    return None


class Kind(NamedTuple):
    """One kind of value."""

    name: str
    """As the reference page calls it."""
    parse: Callable[[object], Any]
    schema: Mapping[str, object]
    """The JSON Schema of what may be written."""
    advise: Callable[[object], str | None] = _no_advice
    """What to warn of although the value is good."""
    write: Callable[[Any], object] | None = None
    """The resolved value in its most readable form; None where what was written is as readable."""


# Numbers and words ------------------------------------------------------------------------------------------

_NUMBER: Final = r"[+-]?(\d{1,20}(\.\d{1,20})?|\.\d{1,20})"
_BEYOND: Final = 2**63
_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})


def number(value: object, expected: str = "expected a number") -> float:
    """A finite number, or text that holds one, as PM2 takes it (YAML's `instances: 4,` included)."""
    if isinstance(value, str):
        text = value.strip().rstrip(",")
        if not re.fullmatch(_NUMBER, text):
            raise Invalid(expected)
        return float(text) if "." in text else int(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Invalid(expected)
    if not math.isfinite(value) if isinstance(value, float) else abs(value) >= _BEYOND:
        raise Invalid(expected)
    return value


def parse_bool(value: object) -> bool:
    """A boolean, 0 or 1, or a word for one."""
    word = str(value).strip().lower() if isinstance(value, str | bool) or value in (0, 1) else ""
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise Invalid("expected true or false")


def parse_string(value: object) -> str:
    """Text; a number is taken as it is written."""
    if isinstance(value, str):
        if "\0" in value:
            raise Invalid("expected text without NUL characters")
        try:
            value.encode()
        except UnicodeEncodeError:  # half of a surrogate pair, which JSON can write
            raise Invalid("expected text that can be encoded as UTF-8") from None
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Invalid("expected text")
    return scalar_text(value)


def parse_optional_string(value: object) -> str | None:
    """Text; `false` and the empty string switch it off."""
    if value is False or value == "":
        return None
    return parse_string(value)


def scalar_text(value: str | float) -> str:
    """A scalar as JavaScript's String() makes it, which is what ends in an environment or a command line."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if abs(value) < 1e21:
        return str(int(value)) if value == int(value) else repr(value)
    if abs(value) < 1e308:  # Python's digits from here on; more of them str() refuses
        return repr(value)
    return "Infinity" if value > 0 else "-Infinity" if value < 0 else "NaN"


def integer(low: int, high: int, expected: str = "") -> Kind:
    """Whole numbers in a range."""
    wanted = expected or f"expected a whole number from {low} to {high}"

    def parse(value: object) -> int:
        found = number(value, wanted)
        if found != int(found) or not low <= found <= high:
            raise Invalid(wanted)
        return int(found)

    schema: dict[str, object] = {"type": ["integer", "string"], "minimum": low, "maximum": high}
    return Kind("whole number", parse, schema)


def decimal(low: float, high: float) -> Kind:
    """Numbers in a range, with a fraction or not."""

    def parse(value: object) -> float:
        found = number(value)
        if not low <= found <= high:
            raise Invalid(f"expected a number from {low:g} to {high:g}")
        return float(found)

    return Kind("number", parse, {"type": ["number", "string"], "minimum": low, "maximum": high})


def choice(*words: str, aliases: Mapping[str, str] | None = None, enum: type[StrEnum] | None = None) -> Kind:
    """One of some words."""
    known = {**{word: word for word in words}, **(aliases or {})}

    def parse(value: object) -> str:
        found = known.get(value.strip().lower()) if isinstance(value, str) else None
        if found is None:
            raise Invalid("expected " + " or ".join(f'"{word}"' for word in words))
        return enum(found) if enum else found

    name = ", ".join(f"`{word}`" for word in words)
    return Kind(name, parse, {"enum": [*known]}, write=str)


def _parse_instances(value: object) -> int:
    wanted = 'expected a number or "max"'
    if isinstance(value, str) and value.strip().lower() == "max":
        return 0
    found = int(number(value, wanted))  # "2.7" is 2, as in PM2
    if not -10_000 <= found <= 10_000:
        raise Invalid("expected at most 10000 instances")
    return found


# Durations and sizes ----------------------------------------------------------------------------------------

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
_DURATION_PART: Final = r"(\d{1,15}(?:\.\d{1,9})?|\.\d{1,9})\s*(ms|sec|s|min|m|h|d|w)\s*"
_LONGEST_S: Final = 10 * 365 * 86400.0
_SUSPICIOUS_MS: Final = 100
_DURATION_EXPECTED: Final = 'expected a duration such as "5s", "1h30m", "500ms", or milliseconds as a number'


def parse_duration(value: object) -> Seconds:
    """Seconds from "1h30m", "1.5s", "500ms"; a bare number is milliseconds, as everywhere in PM2."""
    seconds = _milliseconds(value)
    if seconds is None:
        seconds = _with_units(value)
    if not 0 <= seconds <= _LONGEST_S:
        raise Invalid(_DURATION_EXPECTED + " (not negative, at most ten years)")
    return seconds


def _milliseconds(value: object) -> Seconds | None:
    if isinstance(value, str) and not re.fullmatch(_NUMBER, value.strip()):
        return None
    return number(value, _DURATION_EXPECTED) / 1000


def _with_units(value: object) -> Seconds:
    text = str(value).strip().lower()
    total, position = 0.0, 0
    while found := re.compile(_DURATION_PART).match(text, position):
        total += float(found[1]) * _DURATION_UNITS[found[2]]
        position = found.end()
    if not text or position != len(text):
        raise Invalid(_DURATION_EXPECTED)
    return total


def _advise_duration(value: object) -> str | None:
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


_SIZE: Final = r"(?i)(\d{1,15}(?:\.\d{1,9})?)\s*([kmgt]?)(i?b)?"
_SIZE_UNITS: Final[Mapping[str, int]] = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_SHARE: Final = r"(?i)(\d{1,3}(?:\.\d{1,6})?)\s*%\s*(/\s*n)?"
_LARGEST_BYTES: Final = 2**60
_SIZE_EXPECTED: Final = 'expected a size such as "500M" or "1.5G", or bytes as a number'
_LIMIT_EXPECTED: Final = (
    'expected a size such as "500M" or "1.5G", a share such as "80%", or bytes as a number'
)


def parse_size(value: object, expected: str = _SIZE_EXPECTED) -> int:
    """Bytes from "500M", "1.5G", "1GB", "512k" (all by 1024, as in PM2) or a bare number of bytes."""
    if isinstance(value, str):
        found = re.fullmatch(_SIZE, value.strip())
        if not found:
            raise Invalid(expected)
        size = float(found[1]) * _SIZE_UNITS[found[2].lower()] if "." in found[1] else 0
        size = int(size) if size else int(float(found[1])) * _SIZE_UNITS[found[2].lower()]
    else:
        size = int(number(value, expected))
    if not 0 <= size <= _LARGEST_BYTES:
        raise Invalid(expected)
    return size


def parse_optional_size(value: object) -> int | None:
    """Like a size; 0 and false switch it off."""
    return None if value is False else parse_size(value) or None


def parse_limit(value: object) -> MemoryLimit | None:
    """A size or a share of the container's memory; 0 and false are no limit."""
    if value is False:
        return None
    if isinstance(value, str) and (found := re.fullmatch(_SHARE, value.strip())):
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


def _advise_size(value: object) -> str | None:
    try:
        size = number(value)
    except Invalid:
        return None
    return (
        f'a bare number is bytes: {size:g} bytes; write "{size:g}M" for megabytes'
        if 0 < size < 65536
        else None
    )


# Lists ------------------------------------------------------------------------------------------------------


def split_words(text: str) -> tuple[str, ...]:
    r"""Split a command line on blanks, honouring quotes as a shell user expects and nothing else.

    A quote opens at the start of a word or right after `=`, so `--x='a b'` is one word without its quotes and
    `{"a":1}` stays what it is. Inside quotes a backslash keeps the next quote or backslash; elsewhere it is
    an ordinary character. A quote that is never closed is an ordinary character as well (`don't`).
    """
    words: list[str] = []
    word: list[str] = []
    started = False
    position = 0
    while position < len(text):
        char = text[position]
        if char in "'\"" and (not started or (word and word[-1] == "=")):
            quoted = _quoted(text, position)
            if quoted is not None:
                content, position = quoted
                word.append(content)
                started = True
                continue
        if char.isspace():
            if started:
                words.append("".join(word))
            word, started = [], False
        else:
            word.append(char)
            started = True
        position += 1
    if started:
        words.append("".join(word))
    return tuple(words)


def _quoted(text: str, start: int) -> tuple[str, int] | None:
    """What the quotes that open at `start` hold, and the position after them; None if they never close."""
    quote = text[start]
    content: list[str] = []
    position = start + 1
    while position < len(text):
        char = text[position]
        if char == quote:
            return "".join(content), position + 1
        if char == "\\" and position + 1 < len(text) and text[position + 1] in (quote, "\\"):
            position += 1
            char = text[position]
        content.append(char)
        position += 1
    return None


def parse_words(value: object) -> tuple[str, ...]:
    """A list of words, or one string that is split like a command line."""
    if value is False:
        return ()
    if isinstance(value, str):
        parse_string(value)
        return split_words(value)
    return _list_of(value, "expected a list of texts or one text", parse_string)


def parse_names(value: object) -> tuple[str, ...]:
    """A list of texts, or one text (not split)."""
    if value is False or value == "":
        return ()
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return (parse_string(value),)
    return _list_of(value, "expected a text or a list of texts", parse_string)


def _list_of(value: object, expected: str, item: Callable[[object], Any]) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise Invalid(expected)
    found = []
    wrong = []
    for index, element in enumerate(value):
        try:
            found.append(item(element))
        except Invalid as invalid:
            wrong += inside(index, element, invalid)
    if wrong:
        raise Invalid(findings=wrong)
    return tuple(found)


def inside(key: str | int, value: object, invalid: Invalid) -> list[Finding]:
    """What is wrong in one member of a value, seen from the value."""
    if not invalid.findings:
        return [Finding((key,), value, invalid.expected)]
    return [found._replace(path=(key, *found.path)) for found in invalid.findings]


def list_of(kind: Kind, expected: str) -> Kind:
    """One value of a kind, or a list of them."""

    def parse(value: object) -> tuple[Any, ...]:
        if value is False:
            return ()
        return _list_of(value if isinstance(value, list | tuple) else [value], expected, kind.parse)

    schema = {"anyOf": [kind.schema, {"type": "array", "items": kind.schema}]}
    return Kind(f"{kind.name} or list of them", parse, schema)


# Signals, patterns, times -----------------------------------------------------------------------------------


def parse_signal(value: object) -> int:
    """A signal's number, from "SIGTERM", "term", "RTMIN+3" or 15."""
    wanted = 'expected a signal such as "SIGTERM"'
    chosen = value if isinstance(value, str) else number(value, wanted)
    if not isinstance(chosen, str) and chosen != int(chosen):
        raise Invalid(wanted)
    try:
        return signames.parse_signal(chosen if isinstance(chosen, str) else int(chosen))
    except ValueError as error:
        raise Invalid(f"{wanted} ({error})") from None


def parse_pattern(value: object) -> str:
    """A regular expression that compiles."""
    text = parse_string(value)
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise Invalid(f"expected a regular expression ({error})") from None
    return text


_CRON_FIELD: Final = r"[0-9A-Za-z*/,\-?#]{1,200}"
_CRON_WORDS: Final = frozenset(
    {"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}
)


def parse_cron(value: object) -> str | None:
    """Five cron fields, or six with seconds first, or a word such as @daily; 0 and false switch it off."""
    if value is False or value in (0, "0", ""):
        return None
    wanted = 'expected a cron expression of five fields such as "0 3 * * *" (six with seconds)'
    if not isinstance(value, str):
        raise Invalid(wanted)
    fields = value.split()
    if fields and fields[0].lower() in _CRON_WORDS and len(fields) == 1:
        return fields[0].lower()
    if len(fields) not in (5, 6) or not all(re.fullmatch(_CRON_FIELD, field) for field in fields):
        raise Invalid(wanted)
    return _checked_cron(" ".join(fields))


def _checked_cron(text: str) -> str:
    """Refuse what looks like cron but never comes true, or not on this planet's calendar."""
    from datetime import UTC  # noqa: PLC0415  # rare key

    from runtime.ecosystem.cron import parse_schedule  # noqa: PLC0415

    try:
        parse_schedule(text, UTC, "cron")
    except ConfigError as error:
        raise Invalid(str(error)) from None
    return text


def parse_timezone(value: object) -> str | None:
    """The IANA name of a time zone."""
    name = parse_optional_string(value)
    if name is None or name.upper() == "UTC":
        return name
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415  # rare key

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # unknown; "../x" or NUL; a folder such as "America"
        raise Invalid('expected the name of a time zone such as "Europe/Berlin"') from None
    return name


BOOL: Final = Kind("boolean", parse_bool, {"type": ["boolean", "string", "integer"]})
STRING: Final = Kind("text", parse_string, {"type": ["string", "number"]})
OPTIONAL_STRING: Final = Kind("text", parse_optional_string, {"type": ["string", "number", "boolean"]})
DURATION: Final = Kind(
    "duration",
    parse_duration,
    {"type": ["string", "number"]},
    advise=_advise_duration,
    write=write_duration,
)
SIZE: Final = Kind("size", parse_size, {"type": ["string", "number"]}, advise=_advise_size, write=write_size)
OPTIONAL_SIZE: Final = Kind(
    "size",
    parse_optional_size,
    {"type": ["string", "number", "boolean"]},
    advise=_advise_size,
    write=write_size,
)
LIMIT: Final = Kind(
    "size or share",
    parse_limit,
    {"type": ["string", "number", "boolean"]},
    advise=_advise_size,
    write=write_size,
)
WORDS: Final = Kind(
    "list of texts, or one text that is split",
    parse_words,
    {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": ["string", "number", "boolean"]}}]},
    write=list,
)
NAMES: Final = Kind(
    "text or list of texts",
    parse_names,
    {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
    write=list,
)
INSTANCES: Final = Kind(
    "number or `max`",
    _parse_instances,
    {"anyOf": [{"type": "integer"}, {"type": "string"}]},
    write=lambda value: value or "max",
)
SIGNAL: Final = Kind("signal", parse_signal, {"type": ["string", "integer"]}, write=signames.signal_name)
PATTERN: Final = Kind("regular expression", parse_pattern, {"type": "string"})
TIMEZONE: Final = Kind("time zone", parse_timezone, {"type": "string"})
CRON: Final = Kind("cron expression", parse_cron, {"type": ["string", "number", "boolean"]})
