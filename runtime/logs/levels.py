"""How severe a line is, by what it says of itself: common prefixes, and the level fields of JSON loggers."""

import re
from collections.abc import Iterator
from types import MappingProxyType
from typing import Final

_NAMES: Final = {
    "trace": ("trace",),
    "debug": ("debug",),
    "info": ("info", "notice", "information"),
    "warning": ("warn", "warning"),
    "error": ("error", "err", "severe"),
    "fatal": ("fatal", "critical", "crit", "panic", "alert", "emerg", "emergency"),
}
LEVELS: Final = tuple(_NAMES)
"""From harmless to fatal."""
BY_NAME: Final = MappingProxyType({word: level for level, words in _NAMES.items() for word in words})
_BY_LETTER: Final = {"I": "info", "W": "warning", "E": "error", "F": "fatal"}  # glog, klog
_BY_SYSLOG: Final = ("fatal", "fatal", "fatal", "error", "warning", "info", "info", "debug")  # sd-daemon(3)

_WORDS: Final = "|".join(sorted(BY_NAME, key=len, reverse=True))
_DAY: Final = r"\d{4}[-/]\d\d[-/]\d\d[T ]"
_TIME: Final = r"\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z| ?[+-]\d\d:?\d\d)?"
# Every alternative begins with the line end before it: sre looks for a literal with memchr, and a line that
# matches nothing costs 60 ns. Capitals are a level on their own; small letters need a `:` or a bracket.
_START: Final = (
    rf"\n(?:\[?(?:{_DAY})?{_TIME}\]?[ \t|-]*(?:\[\d+\] )?(?:[\w.:/-]+ - )?)?"
    rf"(?:[\[(<]?(?:(?P<loud>{_WORDS.upper()})(?=[\]):>|\s,])|(?P<word>(?i:{_WORDS}))(?=[\]):>|]))"
    r"|(?P<letter>[IWEF])\d{4} \d\d:\d\d:\d\d\.|<(?P<syslog>[0-7])>)"
)
_LOGFMT: Final = r'|\n(?:[^\n"]{0,120}?[ \t])?(?:level|lvl|severity)="?(?P<logfmt>\w+)'
_JSON: Final = r'|\n\{[^\n]{0,400}?"(?:level|severity|log\.level)" ?: ?(?:"(?P<json>\w+)"|(?P<number>\d+)\b)'

_PREFIXES: Final = re.compile(_START.encode())
_ALL: Final = re.compile((_START + _LOGFMT + _JSON).encode())


def runs(lines: bytes, default: str) -> Iterator[tuple[str, bytes]]:
    r"""Cut whole lines into runs of the same level; most chunks are one run.

    Args:
        lines: Each ended by `\n`.
        default: The level of lines that do not tell theirs.
    """
    pattern = _ALL if b"level" in lines or b"severity" in lines or b"lvl=" in lines else _PREFIXES
    level, begin, position = default, 0, 0
    for match in pattern.finditer(b"\n" + lines):
        start = match.start()  # of the line: the "\n" in front shifts everything by one
        found = _level(match) or default
        if start > position and level != default:
            yield level, lines[begin:position]
            level, begin = default, position
        if found != level:
            if start > begin:
                yield level, lines[begin:start]
            level, begin = found, start
        position = lines.find(b"\n", match.end() - 1) + 1
    if level != default and position < len(lines):
        yield level, lines[begin:position]
        level, begin = default, position
    yield level, lines[begin:] if begin else lines


def of_number(value: float) -> str:
    """The level of a number as pino and bunyan use them: 10 trace, 20 debug, ... 60 fatal."""
    return LEVELS[min(max(int(value) // 10, 1), len(LEVELS)) - 1]


def _level(match: re.Match[bytes]) -> str | None:
    kind, text = match.lastgroup or "", (match[match.lastgroup or 0] or b"").decode()
    if kind == "letter":
        return _BY_LETTER[text]
    if kind == "syslog":
        return _BY_SYSLOG[int(text)]
    if kind == "number":
        return of_number(int(text))
    return BY_NAME.get(text.lower())
