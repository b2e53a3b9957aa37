"""Lines that are JSON objects become part of their record: their fields beside ours, ours being the identity.

The line's own text is kept: once it is known to be a valid object, the record is our fields followed by that
text without its brace. Only where a field is there twice is the record built anew. orjson does the check: it
is strict (no NaN, no lone surrogates), five times as fast as `json`, and costs 0.2 MiB beside what
python-json-logger has imported already; it is imported when the first such line comes.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from runtime.logs.levels import BY_NAME, of_number
from runtime.record import Record

_FOREIGN_LEVELS: Final = ("level", "severity", "log.level", "lvl")
_RENAMED: Final = "app_"
"""Put before an app's own field that has the name of an identity key and another value."""
_BIG_INTEGER: Final = re.compile(rb"[0-9]{19}")


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


class Merger:
    """Makes records of JSON lines of one stream."""

    def __init__(self, keys: MergeKeys) -> None:
        self._keys = keys
        self._fixed = {**keys.extra, **keys.identity}
        self._reserved = frozenset((keys.timestamp, keys.level, *self._fixed, *_FOREIGN_LEVELS))
        self._level_key = keys.level
        self._time_key = keys.timestamp
        self._delicate = self._reserved - {keys.timestamp, keys.level}
        """Keys that need a closer look; a timestamp and a level of its own are what most loggers have."""
        self._quick: dict[tuple[str, bool, bool], bytes] = {}
        self._openings: dict[tuple[str, frozenset[str]], bytes] = {}
        self._now = ""
        self._orjson: tuple[Callable[[bytes], Any], Callable[[Any], bytes]] | None = None

    def record(self, line: bytes, timestamp: str, level: str) -> bytes | None:
        """The record, with its line end; None if the line is not a JSON object, or an empty one."""
        loads, _ = self._orjson or self._codec()
        try:
            own = loads(line)
        except ValueError:
            return None
        if not own:  # a dict for sure: the line begins with a brace
            return None
        if timestamp != self._now:
            self._now = timestamp
            self._openings.clear()
            self._quick = {}
        if self._delicate.isdisjoint(own):
            stated = own.get(self._level_key, level)
            if isinstance(stated, str):
                case = (level, self._time_key in own, self._level_key in own)
                opening = self._quick.get(case)
                if opening is None:
                    opening = self._quick[case] = self._opening(level, self._reserved.intersection(own))
                return opening + line[1:] + b"\n"
        return self._resolved(line, own, level, self._reserved.intersection(own))

    def _codec(self) -> tuple[Callable[[bytes], Any], Callable[[Any], bytes]]:
        """orjson's, imported once."""
        if self._orjson is None:
            import orjson  # noqa: PLC0415 - not every app writes JSON

            self._orjson = (orjson.loads, orjson.dumps)
        return self._orjson

    def _opening(self, level: str, without: frozenset[str]) -> bytes:
        """The record up to the first field of the line, without some keys of ours."""
        opening = self._openings.get((level, without))
        if opening is None:
            keys = self._keys
            ours = {keys.timestamp: self._now, keys.level: keys.level_text(level), **self._fixed}
            pairs = [f"{json.dumps(k)}:{json.dumps(v)}," for k, v in ours.items() if k not in without]
            opening = self._openings[level, without] = ("{" + "".join(pairs)).encode()
        return opening

    def _resolved(self, line: bytes, own: dict[str, Any], level: str, conflicts: frozenset[str]) -> bytes:
        """Both of us have something to say."""
        keys = self._keys
        stated = own.get(keys.level)
        if not isinstance(stated, str):
            level = _foreign_level(own) or level
        if any(keys.identity[key] != own[key] for key in conflicts & keys.identity.keys()):
            return self._rebuilt(line, level)
        if keys.level not in own or isinstance(stated, str):
            return self._opening(level, conflicts) + line[1:] + b"\n"
        rest = _after_number(line, keys.level, stated)
        if rest is None:
            return self._rebuilt(line, level)
        return self._opening(level, conflicts - {keys.level}) + rest + b"\n"

    def _rebuilt(self, line: bytes, level: str) -> bytes:
        """Slower, but every field has its place."""
        keys = self._keys
        big = _BIG_INTEGER.search(line) is not None  # orjson would make it a float
        loads, dumps = (json.loads, _dumps) if big else self._codec()
        own: dict[str, Any] = loads(line)
        record = {keys.timestamp: self._now, keys.level: "", **self._fixed}
        for key, value in own.items():
            if key not in keys.identity:
                record[key] = value
            elif value != keys.identity[key]:
                record.setdefault(_RENAMED + key, value)
        if not isinstance(own.get(keys.level), str):
            record[keys.level] = keys.level_text(level)
        return dumps(record) + b"\n"


def _after_number(line: bytes, key: str, value: object) -> bytes | None:
    """What follows a numeric level that is the first field, as pino writes it; None if it is not there."""
    start = f'{{"{key}":{value},'.encode()
    return line[len(start) :] if line.startswith(start) else None


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
    return json.dumps(value, separators=(",", ":")).encode()
