"""The kinds of value a key can have: how each is read, described to an editor, and written back.

A kind reads any plain value (what JSON can say) and either returns the resolved one or raises Invalid with
what would have been right.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from pidone import signames
from pidone.ecosystem.values import (
    NUMBER,
    Invalid,
    ValueKind,
    advise_bool,
    fragments,
    number,
    parse_bool,
    parse_list,
    parse_names,
    parse_optional_string,
    parse_string,
    parse_words,
    quantities,
)
from pidone.ecosystem.values.patterns import SLOW, backtracks
from pidone.errors import ConfigError


def integer(low: int, high: int) -> ValueKind:
    """Whole numbers in a range."""
    wanted = f"expected a whole number from {low} to {high}"

    def parse(value: object) -> int:
        found = number(value, wanted)
        if found != int(found) or not low <= found <= high:
            raise Invalid(wanted)
        return int(found)

    return ValueKind("whole number", parse, fragments.numeric(low, high, "integer"))


def decimal(low: float, high: float) -> ValueKind:
    """Numbers in a range, with a fraction or not."""

    def parse(value: object) -> float:
        found = number(value)
        if not low <= found <= high:
            raise Invalid(f"expected a number from {low:g} to {high:g}")
        return float(found)

    return ValueKind("number", parse, fragments.numeric(low, high))


def choice(
    *words: str, aliases: Mapping[str, str] | None = None, enum: type[StrEnum] | None = None
) -> ValueKind:
    """One of some words."""
    known = {**{word: word for word in words}, **(aliases or {})}

    def parse(value: object) -> str:
        found = known.get(value.strip().lower()) if isinstance(value, str) else None
        if found is None:
            raise Invalid("expected " + " or ".join(f'"{word}"' for word in words))
        return enum(found) if enum else found

    name = ", ".join(f"`{word}`" for word in words)
    return ValueKind(name, parse, fragments.words(*known), write=str)


_MOST_INSTANCES: Final = 10_000


def _parse_instances(value: object) -> int:
    wanted = 'expected a number or "max"'
    if isinstance(value, str) and value.strip().lower() == "max":
        return 0
    found = int(number(value, wanted))  # "2.7" is 2, as in PM2
    if not -_MOST_INSTANCES <= found <= _MOST_INSTANCES:
        raise Invalid(f"expected at most {_MOST_INSTANCES} instances")
    return found


def _advise_instances(value: object) -> str | None:
    try:
        count = number(value)
    except Invalid:
        return None
    whole = int(count)
    return None if count == whole else f"only the whole part counts, as in PM2: {whole or 'max'}"


def list_of(kind: ValueKind, expected: str) -> ValueKind:
    """One value of a kind, or a list of them."""

    def parse(value: object) -> tuple[Any, ...]:
        if value is False:
            return ()
        return parse_list(value if isinstance(value, list | tuple) else [value], expected, kind.parse)

    schema = fragments.either(kind.schema, fragments.listed(kind.schema), fragments.OFF)
    return ValueKind(f"{kind.name} or list of them", parse, schema)


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
    """A regular expression that compiles, and ends on every line in good time."""
    text = parse_string(value)
    try:
        re.compile(text)
        is_slow = backtracks(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise Invalid(f"expected a regular expression ({error})") from None
    if is_slow:
        raise Invalid(f"{text!r} {SLOW}")
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

    from pidone.ecosystem.cron import parse_schedule  # noqa: PLC0415

    try:
        parse_schedule(text, UTC)
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


_DURATION: Final = fragments.either(
    {"type": "number", "minimum": 0, "maximum": quantities.LONGEST_S * 1000},
    fragments.text(rf"\+?{NUMBER.removeprefix('[+-]?')}|-0*(\.0*)?,*|{quantities.DURATION}"),
)
_SIZE: Final = fragments.either(
    {"type": "number", "minimum": 0, "maximum": quantities.LARGEST_BYTES},
    fragments.text(quantities.SIZE),
)
_SHARE: Final = fragments.text(quantities.SHARE)
_PLAIN_SIGNALS: Final = fragments.any_case(name.removeprefix("SIG") for name in signames.names())
SIGNAL_SPELLINGS: Final = (
    rf"[0-9]{{1,4}}|([Ss][Ii][Gg])?({_PLAIN_SIGNALS}|[Rr][Tt][Mm](?:[Ii][Nn]\+|[Aa][Xx]-)[0-9]{{1,4}})"
)
"""As a pattern of JSON Schema."""
_SIGNAL: Final = fragments.either(
    {"type": "integer", "minimum": 1, "maximum": 64},
    fragments.text(SIGNAL_SPELLINGS),
)
_CRON: Final = fragments.either(
    {"enum": [False, 0]},
    fragments.text(rf"0?|{fragments.any_case(sorted(_CRON_WORDS))}|({_CRON_FIELD}\s+){{4,5}}{_CRON_FIELD}"),
)

BOOL: Final = ValueKind("boolean", parse_bool, fragments.BOOL, advise=advise_bool)
STRING: Final = ValueKind("text", parse_string, fragments.SCALAR)
OPTIONAL_STRING: Final = ValueKind("text", parse_optional_string, fragments.OPTIONAL_TEXT)
DURATION: Final = ValueKind(
    "duration",
    quantities.parse_duration,
    _DURATION,
    advise=quantities.advise_duration,
    write=quantities.write_duration,
)
SIZE: Final = ValueKind(
    "size", quantities.parse_size, _SIZE, advise=quantities.advise_size, write=quantities.write_size
)
OPTIONAL_SIZE: Final = ValueKind(
    "size",
    quantities.parse_optional_size,
    fragments.either(_SIZE, fragments.OFF),
    advise=quantities.advise_size,
    write=quantities.write_size,
)
LIMIT: Final = ValueKind(
    "size or share",
    quantities.parse_limit,
    fragments.either(_SIZE, fragments.OFF, _SHARE),
    advise=quantities.advise_size,
    write=quantities.write_size,
)
WORDS: Final = ValueKind(
    "list of texts, or one text that is split",
    parse_words,
    fragments.WORDS,
    write=list,
)
NAMES: Final = ValueKind("text or list of texts", parse_names, fragments.NAMES, write=list)
INSTANCES: Final = ValueKind(
    "number or `max`",
    _parse_instances,
    fragments.either(
        {"const": "max"},
        fragments.numeric(-_MOST_INSTANCES, _MOST_INSTANCES),
        fragments.text(fragments.any_case(["max"])),
    ),
    advise=_advise_instances,
    write=lambda value: value or "max",
)
SIGNAL: Final = ValueKind("signal", parse_signal, _SIGNAL, write=signames.signal_name)
PATTERN: Final = ValueKind("regular expression", parse_pattern, fragments.SCALAR)
TIMEZONE: Final = ValueKind("time zone", parse_timezone, fragments.either(fragments.OFF, {"type": "string"}))
CRON: Final = ValueKind("cron expression", parse_cron, _CRON)
