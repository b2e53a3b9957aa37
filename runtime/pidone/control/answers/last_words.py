"""What a process said last of the trouble it ended with: the one line of its log that tells most.

Programs print that in their own ways: Python ends with it, Node, Java, .NET and Ruby begin with it and go on
with a stack, Go and Rust add advice and goroutines.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from pidone.logs.fields import fields_of
from pidone.logs.levels import of_fields

_MOST_RECORDS: Final = 40
"""Records of the process that are read, from its end: a longer stack has its error further up, rarely."""
_MOST_CHARACTERS: Final = 240
_ERROR_LEVELS: Final = ("error", "fatal")
_COLOUR: Final = re.compile(r"\x1b\[[0-9;:]*m")
_NOISE: Final = re.compile(
    r"\s"  # a stack, a snippet of source
    r"|[\^~=*#{}()\[\];.-]*$"
    r"|Node\.js v|Emitted '|note: |hint: see above|goroutine \d|exit status \d|created by |main\.main\("
    r"|npm (?:ERR!|error)|Stack trace:|#\d|Traceback |Thrown at:|Shutting down|Aborted|\+ "
)
_TROUBLE: Final = re.compile(
    r"(?i:\b(?:error|exception|fatal|panic|panicked|critical|cannot|can't|could not|couldn't|failed|failure|"
    r"refused|denied|not found|no such|missing|invalid|unable|undefined|already in use|out of memory|"
    r"segmentation fault|core dumped|timed? ?out)\b)"
    r"|[a-z](?:Error|Exception)\b|\bE[A-Z]{4,}\b"
)
_MESSAGES: Final = ("message", "msg", "event", "error", "err", "exc_info")


def last_words(records: bytes, is_theirs: Callable[[int], bool]) -> str:
    """The line of some records that tells most of why a process ended; empty if none does.

    `records` are those of its app in the format `json`; `is_theirs` decides about a pid.
    """
    return telling(_lines(records, is_theirs))


def telling(lines: Sequence[str]) -> str:
    """The line that tells most: the last that speaks of trouble, else the last that says anything."""
    said = [(number, line) for number, line in enumerate(lines) if not _NOISE.match(line) and line.strip()]
    if not said:
        return ""
    number, line = next((each for each in reversed(said) if _TROUBLE.search(each[1])), said[-1])
    if line.rstrip().endswith(":") and number + 1 < len(lines):  # Rust's panics, some shells
        line = f"{line.rstrip()} {lines[number + 1].strip()}"
    return line.strip()[:_MOST_CHARACTERS]


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
            found += reversed([_COLOUR.sub("", line) for line in _text(fields).split("\n")])
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
