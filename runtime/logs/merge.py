"""Lines that are JSON objects become part of their record: their fields beside ours, ours being the identity.

The line's own text is kept: once it is known to be a valid object, the record is our fields followed by that
text without its brace. Only where a field is there twice is the record built anew. orjson does the check: it
is strict (no NaN, no lone surrogates), five times as fast as `json`, and costs 0.2 MiB beside what
python-json-logger has imported already; it is imported when the first such line comes.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from runtime.ecosystem.spec import Bytes
from runtime.logs.levels import BY_NAME, of_number
from runtime.record import Record

_FOREIGN_LEVELS: Final = ("level", "severity", "log.level", "lvl")
_RENAMED: Final = "app_"
"""Put before an app's own field that has the name of an identity key and another value."""
_BIG_NUMBER: Final = re.compile(rb"[0-9]{19}|[eE]\+?[0-9]{3}")
_MOST_TRAITS: Final = 256
_LONG_NAMES: Final = 2048
"""Sets of field names are remembered, but not everything that some app may come up with."""


class MergeKeys(Record, kw_only=True):
    """How a format calls what every record has."""

    timestamp: str = "timestamp"
    level: str = "level"
    level_text: Callable[[str], str] = str
    """One of `levels.LEVELS` in the format's own words."""
    identity: Mapping[str, Any]
    """Never overwritten."""
    extra: Mapping[str, Any]
    """There unless the app says otherwise."""


class _Traits(Record):
    """What is known of all lines that have the same fields, in the same order."""

    without: frozenset[str]
    """Our fields that the record does without, as the line has them."""
    same: tuple[tuple[str, Any], ...]
    """Identity keys that the line has, and the values they must have."""
    foreign: bool
    """Whether the level is told by a field that the format has another name for."""


class Merger:
    """Makes records of JSON lines of one stream."""

    def __init__(self, keys: MergeKeys) -> None:
        self._keys = keys
        self._level_key = keys.level
        self._fixed = {**keys.extra, **keys.identity}
        self._traits: dict[tuple[str, ...], _Traits] = {}
        self._openings: dict[tuple[frozenset[str], str], bytes] = {}
        self._now = ""
        self._orjson: tuple[Callable[[bytes], Any], Callable[[Any], bytes]] | None = None

    def record(self, line: bytes, timestamp: str, level: str) -> bytes | None:
        """The record, with its line end; None if the line is not a JSON object, or an empty one.

        `level` is for lines that do not tell theirs.
        """
        loads, _ = self._orjson or self._codec()
        try:
            own = loads(line)
        except ValueError:
            return None
        if not own:  # a dict for sure: the line begins with a brace
            return None
        self._begin(timestamp)
        fields = tuple(own)
        traits = self._traits.get(fields) or self._examine(fields)
        without, start = traits.without, b"{"
        stated = own.get(self._level_key, "")
        if stated.__class__ is not str:
            level = _foreign_level(own) or level
            without = without - {self._level_key}
            start = b'{"%s":%d,' % (self._level_key.encode(), stated) if stated.__class__ is int else b""
            if not start or _is_repeated(line, self._level_key) or not line.startswith(start):
                return self._rebuilt(line, level)
        elif traits.foreign:
            level = _foreign_level(own) or level
        if traits.same and not _agrees(line, own, traits.same):
            return self._rebuilt(line, level)
        opening = self._openings.get((without, level)) or self._opening(without, level)
        return opening + line[len(start) :] + b"\n"

    def records(self, lines: bytes, timestamp: str, level: str, longest: Bytes) -> bytes | None:
        r"""The records of many lines at once, each ended by `\n`; the same as `record` makes of each.

        None unless all are objects with the same fields in the same order, as one place in a program writes
        them, no record is longer than `longest`, and none of them says more than what can be put in front.
        """
        count = lines.count(b"\n")
        if lines[:1] != b"{" or lines.count(b"\n{") + 1 != count or lines.count(b"}\n") != count:
            return None
        each = lines[:-1].split(b"\n")
        fields = self._fields_of_all(each)
        if not fields:
            return None
        traits = self._traits.get(fields) or self._examine(fields)
        if traits.same or traits.foreign:
            return None
        self._begin(timestamp)
        opening = self._openings.get((traits.without, level)) or self._opening(traits.without, level)
        if len(opening) + max(map(len, each)) > longest:
            return None
        return opening + lines[1:].replace(b"\n{", b"\n" + opening)

    def _fields_of_all(self, each: Sequence[bytes]) -> tuple[str, ...] | None:
        """The fields that all these lines have, each a valid object and with a word for its level, if any."""
        loads, _ = self._orjson or self._codec()
        try:
            fields = tuple(loads(each[0]))
            if fields != tuple(loads(each[-1])):  # saves most of those that differ the rest
                return None
            all_own = list(map(loads, each))
        except ValueError:
            return None
        if set(map(tuple, all_own)) != {fields}:
            return None
        level = self._level_key
        if level in fields and {own[level].__class__ for own in all_own} != {str}:
            return None
        return fields

    def _begin(self, timestamp: str) -> None:
        if timestamp != self._now:
            self._now = timestamp
            self._openings.clear()

    def _examine(self, fields: tuple[str, ...]) -> _Traits:
        keys, names = self._keys, frozenset(fields)
        traits = _Traits(
            names & {keys.timestamp, keys.level, *self._fixed},
            tuple((key, value) for key, value in keys.identity.items() if key in names),
            keys.level not in names and not names.isdisjoint(_FOREIGN_LEVELS),
        )
        if sum(map(len, fields)) <= _LONG_NAMES:
            if len(self._traits) >= _MOST_TRAITS:
                self._traits.clear()
            self._traits[fields] = traits
        return traits

    def _codec(self) -> tuple[Callable[[bytes], Any], Callable[[Any], bytes]]:
        """orjson's, imported once."""
        if self._orjson is None:
            import orjson  # noqa: PLC0415 - not every app writes JSON

            self._orjson = (orjson.loads, orjson.dumps)
        return self._orjson

    def _opening(self, without: frozenset[str], level: str) -> bytes:
        """The record up to the first field of the line, without some keys of ours."""
        keys = self._keys
        ours = {keys.timestamp: self._now, keys.level: keys.level_text(level), **self._fixed}
        pairs = [f"{json.dumps(k)}:{json.dumps(v)}," for k, v in ours.items() if k not in without]
        opening = self._openings[without, level] = ("{" + "".join(pairs)).encode()
        return opening

    def _rebuilt(self, line: bytes, level: str) -> bytes | None:
        """Slower, but every field has its place; None if a number is too big for that."""
        keys = self._keys
        big = _BIG_NUMBER.search(line) is not None  # orjson would make it a float, or null
        loads, dumps = (json.loads, _dumps) if big else self._codec()
        try:
            own: dict[str, Any] = loads(line)
            record = {keys.timestamp: self._now, keys.level: "", **self._fixed}
            for key, value in own.items():
                if key not in keys.identity:
                    record[key] = value
                elif not _is_same(value, keys.identity[key]):
                    record[_free_name(key, own)] = value
            if not isinstance(own.get(keys.level), str):
                record[keys.level] = keys.level_text(level)
            return dumps(record) + b"\n"
        except ValueError:
            return None


def _agrees(line: bytes, own: Mapping[str, Any], same: tuple[tuple[str, Any], ...]) -> bool:
    """Whether the line tells our identity as we would, and once: parsers differ in which of two they take."""
    if b"\\u00" in line:  # may be a letter of a key
        return False
    return all(_is_same(own[key], value) and not _is_repeated(line, key) for key, value in same)


def _is_same(value: object, ours: object) -> bool:
    return value.__class__ is ours.__class__ and value == ours  # in Python 1 == True == 1.0


def _is_repeated(line: bytes, key: str) -> bool:
    return line.count(b'"%s"' % key.encode()) > 1


def _free_name(key: str, own: Mapping[str, Any]) -> str:
    """A name for an app's field whose own name is taken."""
    name = _RENAMED + key
    while name in own:
        name = _RENAMED + name
    return name


def _foreign_level(own: Mapping[str, Any]) -> str | None:
    """What an app's logger says about its own line."""
    for key in _FOREIGN_LEVELS:
        value = own.get(key)
        if isinstance(value, str):
            return BY_NAME.get(value.lower())
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return of_number(value)
    return None


def _dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
