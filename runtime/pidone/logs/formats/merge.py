"""Lines that are JSON objects become part of their record: their fields beside ours, ours being the identity.

The line's own text is kept: once it is known to be a valid object, the record is our fields followed by that
text without its brace. Only where a field is there twice is the record built anew. orjson does the check: it
is strict (no NaN, no lone surrogates), five times as fast as `json`, and costs 0.2 MiB beside what
python-json-logger has imported already; it is imported when the first such line comes.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import compress
from operator import add, itemgetter
from typing import Any, Final

from pidone.ecosystem.spec import Bytes
from pidone.logs.levels import FIELDS, of_fields, of_number
from pidone.logs.lines import has_longer
from pidone.record import Record

_RENAMED: Final = "app_"
"""Put before an app's own field that has the name of a key of ours and another value."""
_EVENT: Final = "event"
"""Records that have this field are the runtime's own. structlog calls its message so."""
_MESSAGE: Final = "message"
_BIG_NUMBER: Final = re.compile(rb"[0-9]{19}|[eE]\+?[0-9]{3}")
_BETWEEN: Final = int.from_bytes(os.urandom(8), "little") >> 2
"""Put behind each line of a chunk that is parsed as one array; random, so that no app can write it."""
_SEPARATOR: Final = b"\n,%d," % _BETWEEN


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
        self._ours = frozenset((keys.timestamp, keys.level, *self._fixed))
        self._foreign = frozenset(FIELDS) - {keys.level}
        self._openings: dict[tuple[frozenset[str], str], bytes] = {}
        self._now = ""
        self._orjson: tuple[Callable[[bytes], Any], Callable[[Any], bytes]] | None = None

    def records(self, lines: bytes, timestamp: str, level: str, most: Bytes) -> bytes | None:
        """The records of lines that are JSON objects of one kind, as most apps write them.

        The same as from `record` in half the time: what is to be done for each line is done by loops in C.
        None if the lines are not of one kind, or a record would be longer than `most`.
        """
        parsed = self._parsed(lines)
        if parsed is None:
            return None
        owns, rests = parsed
        names = frozenset[str]().union(*owns)
        ours = self._ours & names
        level_key = self._keys.level
        stated = _columns(owns, ours)
        if (
            stated is None
            or not self._agree(lines, stated)
            or (_EVENT in names and not _are_all_messages(lines, owns))
        ):
            return None
        if _EVENT in names:
            rests = [rest.replace(b'"event"', b'"message"') for rest in rests]
            ours |= self._ours & {_MESSAGE}
        self._at(timestamp)
        levels = stated.get(level_key, [""])
        kinds = {*map(type, levels)}
        told: list[str] = []
        if kinds == {int}:
            ours -= {level_key}
            numbers = {*levels}
            starts = [*map({number: self._numbered(number)[1:] for number in numbers}.__getitem__, levels)]
            told = [*map({number: of_number(number) for number in numbers}.__getitem__, levels)]
            if not all(map(bytes.startswith, rests, starts)):
                return None
            rests = [rest[len(start) :] for rest, start in zip(rests, starts, strict=True)]
        elif kinds == {str}:
            if level_key not in ours and not self._foreign.isdisjoint(names):
                told = [of_fields(own) or level for own in owns]
        else:
            return None
        if told:
            heads = {word: self._opening(ours, word) for word in {*told}}
            records = b"\n".join(map(add, map(heads.__getitem__, told), rests))
        else:
            head = self._opening(ours, level)
            rests[0] = head + rests[0]
            records = (b"\n" + head).join(rests)
        return None if has_longer(records, most - 1) else records

    def _parsed(self, lines: bytes) -> tuple[list[dict[str, Any]], list[bytes]] | None:
        """The object of each line, and its text behind the brace (the last one's with its line end).

        None if not all lines are objects.

        One call of orjson's, for all as an array, takes a third less time than one for each. Strings and
        numbers end before a line does; objects and arrays may go on. So each line is a value of its own if
        there are as many as lines, and each separator is between two values: none can be feigned by an app.
        """
        loads, _ = self._codec()
        count = lines.count(b"\n")
        rests = lines[1:].split(b"\n{")
        if len(rests) != count or not lines.startswith(b"{"):
            return None
        try:
            found = loads(b"[%b0]" % lines.replace(b"\n", _SEPARATOR))
        except ValueError:
            return None
        owns = found[:-1:2]
        if len(found) != 2 * count + 1 or found[1::2] != [_BETWEEN] * count:
            return None
        return (owns, rests) if all(owns) else None  # what begins with a brace is an object

    def are_objects(self, lines: Sequence[bytes]) -> list[bool]:
        """For each line whether it begins with a brace and is a valid object with a field in it."""
        loads, _ = self._codec()
        begin = [line.startswith(b"{") for line in lines]
        rest = compress(lines, begin)
        owns: list[Any] = []
        while True:
            try:
                owns.extend(map(loads, rest))  # keeps what there was before one that is none
            except ValueError:
                owns.append(None)
            else:
                break
        valid = iter(owns)
        return [begins and bool(next(valid)) for begins in begin]

    def record(self, line: bytes, timestamp: str, level: str) -> bytes | None:
        """The record, with its line end; None if the line is not a JSON object, or an empty one.

        `level` is for lines that do not tell theirs.
        """
        loads, _ = self._codec()
        try:
            own = loads(line)
        except ValueError:
            return None
        if not own:  # a dict for sure: the line begins with a brace
            return None
        self._at(timestamp)
        if _EVENT in own:
            return self._rebuilt(line, of_fields(own) or level)
        ours = self._ours.intersection(own)
        start = b"{"
        stated = own.get(self._keys.level, "")
        if stated.__class__ is not str:
            level = of_fields(own) or level
            ours -= {self._keys.level}
            start = self._numbered(stated) if stated.__class__ is int else b""
        elif self._keys.level not in ours and not self._foreign.isdisjoint(own):
            level = of_fields(own) or level
        told = {key: (own[key],) for key in self._keys.identity.keys() & own.keys()}
        if not start or not line.startswith(start) or not self._agree(line, told):
            return self._rebuilt(line, level)
        return self._opening(ours, level) + line[len(start) :] + b"\n"

    def _at(self, timestamp: str) -> None:
        if timestamp != self._now:
            self._now = timestamp
            self._openings.clear()

    def _numbered(self, level: int) -> bytes:
        """What a line begins with that has a numeric level as its first field, as pino writes it."""
        return b'{"%s":%d,' % (self._keys.level.encode(), level)

    def _agree(self, text: bytes, told: Mapping[str, Sequence[object]]) -> bool:
        """Whether fields that are `told`, and the text, tell of our identity nothing or the same as we do.

        And once: parsers differ in which of two fields of the same name they take.
        """
        return all(
            all(_is_same(one, self._keys.identity[key]) for one in told[key])
            and text.count(b'"%s"' % key.encode()) == len(told[key])
            and b"\\u00" not in text  # may be a letter of a key
            for key in self._keys.identity.keys() & told.keys()
        )

    def _codec(self) -> tuple[Callable[[bytes], Any], Callable[[Any], bytes]]:
        """orjson's, imported once."""
        if self._orjson is None:
            import orjson  # noqa: PLC0415 - not every app writes JSON

            self._orjson = (orjson.loads, orjson.dumps)
        return self._orjson

    def _opening(self, without: frozenset[str], level: str) -> bytes:
        """The record up to the first field of the line, without some keys of ours."""
        opening = self._openings.get((without, level))
        if opening is None:
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
                if key == _EVENT:
                    is_message = isinstance(value, str) and _MESSAGE not in own
                    record[_MESSAGE if is_message else _free_name(key, own)] = value
                elif key not in keys.identity:
                    record[key] = value
                elif not _is_same(value, keys.identity[key]):
                    record[_free_name(key, own)] = value
            if not isinstance(own.get(keys.level), str):
                record[keys.level] = keys.level_text(level)
            return dumps(record) + b"\n"
        except ValueError:
            return None


def _columns(owns: Sequence[Mapping[str, Any]], keys: Iterable[str]) -> dict[str, list[Any]] | None:
    """What all objects have as each of some fields; None if only some of them have one."""
    try:
        return {key: [*map(itemgetter(key), owns)] for key in keys}
    except KeyError:
        return None


def _are_all_messages(text: bytes, owns: Sequence[Mapping[str, Any]]) -> bool:
    """Whether each object has an `event` that is its message, and the word stands nowhere else in it."""
    return (
        text.count(b'"event"') == len(owns)
        and b"\\u00" not in text  # may be a letter of a key
        and all(isinstance(own.get(_EVENT), str) and _MESSAGE not in own for own in owns)
    )


def _is_same(value: object, ours: object) -> bool:
    return value.__class__ is ours.__class__ and value == ours  # in Python 1 == True == 1.0


def _free_name(key: str, own: Mapping[str, Any]) -> str:
    """A name for an app's field whose own name is taken."""
    name = _RENAMED + key
    while name in own:
        name = _RENAMED + name
    return name


def _dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
