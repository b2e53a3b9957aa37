"""What a process said last of the trouble it ended with: the one line of its log that tells most."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from pidone.logs.escape import without_colours
from pidone.logs.fields import fields_of
from pidone.logs.levels import of_fields
from pidone.logs.telling import telling

_MOST_RECORDS: Final = 40
"""Records of the process that are read, from its end: a longer stack has its error further up, rarely."""
_ERROR_LEVELS: Final = ("error", "fatal")
_MESSAGES: Final = ("message", "msg", "event", "error", "err", "exc_info")


def last_words(records: bytes, is_theirs: Callable[[int], bool]) -> str:
    """The line of some records that tells most of why a process ended; empty if none does.

    `records` are those of its app in the format `json`; `is_theirs` decides about a pid.
    """
    return telling(_lines(records, is_theirs))


def _lines(records: bytes, is_theirs: Callable[[int], bool]) -> list[str]:
    """What the process wrote to stderr, or called an error, the latest last."""
    found: list[str] = []
    for number, record in enumerate(_backwards(records)):
        if number >= _MOST_RECORDS:
            break
        fields = fields_of(record)
        if "stream" not in fields or not is_theirs(fields.get("pid", 0)):
            continue
        if fields["stream"] == "stderr" or of_fields(fields) in _ERROR_LEVELS:
            found += reversed(without_colours(_text(fields)).split("\n"))
    return found[::-1]


def _backwards(records: bytes) -> Iterator[bytes]:
    end = len(records.rstrip(b"\n"))
    while end > 0:
        begin = records.rfind(b"\n", 0, end) + 1
        if b'"stream"' in records[begin:end]:
            yield records[begin:end]
        end = begin - 1


def _text(fields: dict[str, Any]) -> str:
    """The message of a record; that of an error within it if there is no other."""
    for each in (fields, *(fields[name] for name in _MESSAGES if isinstance(fields.get(name), dict))):
        for name in _MESSAGES:
            value = each.get(name)
            if isinstance(value, str) and value:
                return value
    return ""
