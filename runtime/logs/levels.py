"""How severe a line is, by what it says of itself: common prefixes, and the level fields of JSON loggers."""

import functools
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

# For speed every pattern begins with the line end before the line, and then a narrow set of characters: sre
# rejects such a line in 30 ns. One pattern with alternatives would take ten times as long.
_INITIALS: Final = "".join(sorted({word[0] for word in BY_NAME}))
_DAY: Final = "[0-9]{4}[-/][0-9]{2}[-/][0-9]{2}[T ]"
_TIME: Final = "[0-9]{2}:[0-9]{2}:[0-9]{2}[0-9.,Z]*+(?: ?[+-][0-9:]{4,5}+)?"
_LOGGER: Final = r"[ \t|-]*+(?:\[[^\]\n]{1,40}\] )?(?:[\w.:/-]++ - )?"
_ALWAYS: Final = (
    # `WARN  text`, `ERROR: text`, and glog's or klog's `E1120 23:04:39.123456`
    r"\n([A-Z]{1,11})(?=(?<=[A-Z]{3})[\]):>|\s,]|[0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2})",
    r"\n[\[(<]([A-Za-z]{3,11}|[0-7])[\])>]",  # `[warn] text`, `<3>text`
    rf"\n([{_INITIALS}{_INITIALS.upper()}][a-z]{{2,10}})[:|]",  # `Error: text`; `Error in` may be prose
    # `2026-11-20 23:04:39,123 - name - WARNING - text`, `[2026-11-20 23:04:39 +0000] [7] [INFO] text`
    rf"\n\[?(?:{_DAY})?{_TIME}\]?{_LOGGER}[\[(<]?([A-Z]{{3,11}}(?=[\]):>|\s,])|[a-z]{{3,11}}(?=[\])>]))",
)
_LOGFMT: Final = r'\n(?:[^\n"]|"[^\n"]{0,80}"){0,120}?(?:level|lvl|severity)="?([A-Za-z]+)'
_JSON: Final = r'\n\{[^\n]{0,400}?"(?:level|severity|log\.level)" ?: ?"?([A-Za-z]+|\d+)'

_IF_CONTAINED: Final = (
    ((b"level=", b"lvl=", b"severity="), _LOGFMT),
    ((b'level"', b'"severity"'), _JSON),
)


@functools.cache
def _compiled(pattern: str) -> re.Pattern[bytes]:
    """Compiled when the first line comes: the first apps start without waiting for it."""
    return re.compile(pattern.encode())


def runs(lines: bytes, default: str) -> list[tuple[str, bytes]]:
    r"""Cut whole lines into runs of the same level; most chunks are one run.

    Args:
        lines: Each ended by `\n`.
        default: The level of lines that do not tell theirs.
    """
    text = b"\n" + lines
    told = [found for pattern in _candidates(lines) if (found := _Found(pattern, text)).levels]
    if not told:
        return [(default, lines)]
    first = told[0].levels
    if len(told) == 1 and first.count(first[0]) == len(first) == lines.count(b"\n"):
        return [(first[0] or default, lines)]
    starts: dict[int, str] = {}
    for found in reversed(told):
        starts.update(found.starts(text, default))
    return _cut(lines, sorted(starts.items()), default)


def _candidates(lines: bytes) -> Iterator[re.Pattern[bytes]]:
    for pattern in _ALWAYS:
        yield _compiled(pattern)
    for words, pattern in _IF_CONTAINED:
        if any(word in lines for word in words):
            yield _compiled(pattern)


class _Found:
    """What one pattern found in a chunk."""

    def __init__(self, pattern: re.Pattern[bytes], text: bytes) -> None:
        self._pattern = pattern
        levels = [_level(token) for token in pattern.findall(text)]
        self.levels = levels if any(levels) else []

    def starts(self, text: bytes, default: str) -> Iterator[tuple[int, str]]:
        """Where in the lines those are that tell their level (the end of the line before is not theirs)."""
        for match, level in zip(self._pattern.finditer(text), self.levels, strict=True):
            yield match.start(), level or default


def _cut(lines: bytes, told: list[tuple[int, str]], default: str) -> list[tuple[str, bytes]]:
    """Runs of lines that do not all have the same level; `told` are the starts of lines and their levels."""
    cut: list[tuple[str, bytes]] = []
    current, begin, position = default, 0, 0
    for start, level in [*told, (len(lines), "")]:
        if start > position and current != default:
            cut.append((current, lines[begin:position]))
            current, begin = default, position
        if level != current:
            if start > begin:
                cut.append((current, lines[begin:start]))
            current, begin = level, start
        position = lines.find(b"\n", start) + 1
    return cut


def of_number(value: float) -> str:
    """The level of a number as pino and bunyan use them: 10 trace, 20 debug, ... 60 fatal."""
    return LEVELS[min(max(int(value) // 10, 1), len(LEVELS)) - 1]


@functools.lru_cache(maxsize=256)
def _level(token: bytes) -> str | None:
    """Of a word, a number, a letter of glog or a priority of syslog."""
    text = token.decode()
    if text.isdecimal():
        return of_number(int(text)) if len(text) > 1 else _BY_SYSLOG[int(text)]
    return _BY_LETTER.get(text) or BY_NAME.get(text.lower())
