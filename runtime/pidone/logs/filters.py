"""What an app's lines lose before anybody gets them: lines of no interest, secrets, codes of colours."""

import re
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from pidone.bounded_search import LONG, BoundedSearch, SearchTooLongError
from pidone.ecosystem.spec import Bytes
from pidone.logs.lines import has_longer
from pidone.record import Record

LineFilter: TypeAlias = Callable[[bytes], bytes]
r"""Whole lines in, those that are left out, each ended by `\n`."""

_Search: TypeAlias = Callable[..., "re.Match[bytes] | None"]
"""`search` of a compiled pattern."""
REDACTED: Final = b"***"
_COLOUR: Final = re.compile(rb"\x1b\[[0-9;:]*m")  # SGR of ECMA-48, 8.3.117
_TELLS_ALONE: Final = re.compile(r"\(\?[<=!>]|\\[AZ]|[*+?}]\+")
"""What sees beyond a line, or takes more and gives nothing back: such a pattern is tried line by line."""
_TOKEN: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{[^}]*\}|.", re.DOTALL)
_AT_ONCE: Final[Bytes] = 64 * 1024
"""What comes together is hardly ever more, unless a line of it is long."""
_SHORTEST: Final = 3
"""Fewer characters are in too many lines to be worth a look."""


def line_filter(
    *, drop: Sequence[str], redact: Sequence[str], strip_colors: bool, search: BoundedSearch
) -> LineFilter:
    """For the keys `log_drop`, `log_redact` and `strip_colors`.

    A pattern that takes too long on a line is not found in it by `log_drop`, and for `log_redact` all of that
    line is a secret. Once that has happened, lines are looked at one by one.
    """
    steps = [_dropping(pattern, search) for pattern in drop]
    steps += [_redacting(pattern, search) for pattern in redact]
    is_quick = bool(steps)

    def at_once(lines: bytes) -> bytes:
        for step in steps:
            lines = lines and step.to_many(lines)
        return lines

    def apply(lines: bytes) -> bytes:
        nonlocal is_quick
        if strip_colors:
            lines = _without_colours(lines)
        if is_quick and len(lines) <= _AT_ONCE and not has_longer(lines, LONG):
            try:
                return search.attempt(at_once, lines)
            except SearchTooLongError:
                is_quick = False
        for step in steps:
            lines = lines and step.one_by_one(lines)
        return lines

    return apply


def _without_colours(lines: bytes) -> bytes:
    return _COLOUR.sub(b"", lines) if b"\x1b[" in lines else lines


class _Step(Record):
    """What a pattern does to lines."""

    text: bytes
    """Part of whatever the pattern matches, or nothing."""
    to_many: LineFilter
    """To ordinary lines, in one go."""
    to_one: LineFilter
    """To one line, given without its end; however long that would take."""

    def one_by_one(self, lines: bytes) -> bytes:
        """The same as `to_many`, for any lines."""
        if self.text not in lines:
            return lines
        return b"".join(
            self.to_one(line) if self.text in line else line + b"\n" for line in lines[:-1].split(b"\n")
        )


def _dropping(pattern: str, bounded: BoundedSearch) -> _Step:
    """Without the lines in which the pattern is found."""
    search = re.compile(pattern.encode(), re.MULTILINE).search

    def drop(line: bytes) -> bytes:
        return line + b"\n" if search(line) is None else b""

    def to_one(line: bytes) -> bytes:
        try:
            return (bounded.attempt_apart if len(line) > LONG else bounded.attempt)(drop, line)
        except SearchTooLongError:
            return line + b"\n"

    return _step(pattern, search, drop, to_one)


def _redacting(pattern: str, bounded: BoundedSearch) -> _Step:
    """With REDACTED in place of what the pattern's first group matches, or all of it if it has no group."""
    compiled = re.compile(pattern.encode(), re.MULTILINE)
    search, group = compiled.search, min(compiled.groups, 1)

    def hide(found: re.Match[bytes]) -> bytes:
        start, end = found.span(group)
        if start < 0:  # the group took no part
            return found[0]
        return found.string[found.start() : start] + REDACTED + found.string[end : found.end()]

    def hide_all(line: bytes) -> bytes:
        found = search(line)
        if found is None:
            return line + b"\n"
        start, end = found.span(group)
        if start < 0 or search(line, found.end()):
            return compiled.sub(hide, line) + b"\n"
        return line[:start] + REDACTED + line[end:] + b"\n"  # a third of what `sub` takes for it

    def to_one(line: bytes) -> bytes:
        try:
            return (bounded.attempt_apart if len(line) > LONG else bounded.attempt)(hide_all, line)
        except SearchTooLongError:
            return REDACTED + b"\n"

    return _step(pattern, search, hide_all, to_one)


def _step(pattern: str, search: _Search, change: LineFilter, to_one: LineFilter) -> _Step:
    """Have each line changed in which the pattern may be found; `change` gets it without its end.

    Nearly all lines are of no interest, so that one look goes over all of them: for a text that every match
    contains, or else for a match. The line in which that is, or begins, is looked at alone.
    """
    text = required(pattern).encode()
    if text:
        return _Step(text, _from_behind(text, change), to_one)
    if _TELLS_ALONE.search(pattern):
        return _Step(text, lambda lines: b"".join(map(change, lines[:-1].split(b"\n"))), to_one)

    def at_once(lines: bytes) -> bytes:
        done = 0
        pieces: list[bytes] = []
        while (found := search(lines, done)) and (at := found.start()) < len(lines):
            start = lines.rfind(b"\n", done, at) + 1 or done
            end = lines.index(b"\n", at)
            pieces += (lines[done:start], change(lines[start:end]))
            done = end + 1
        return b"".join((*pieces, lines[done:])) if pieces else lines

    return _Step(text, at_once, to_one)


def _from_behind(text: bytes, change: LineFilter) -> LineFilter:
    """Have each line with the text changed, from the last to the first: `rfind` takes a third of `find`."""

    def at_once(lines: bytes) -> bytes:
        left = len(lines)
        pieces: list[bytes] = []
        while (at := lines.rfind(text, 0, left)) >= 0:
            start = lines.rfind(b"\n", 0, at) + 1
            end = lines.index(b"\n", at)
            pieces += (lines[end + 1 : left], change(lines[start:end]))
            left = start
        return b"".join((lines[:left], *reversed(pieces))) if pieces else lines

    return at_once


def required(pattern: str) -> str:
    """The longest text that is in whatever the pattern matches; nothing where that is not easily told."""
    if "|" in pattern or "(?" in pattern:
        return ""
    texts = [""]
    depth = 0
    for part in _TOKEN.findall(pattern):
        depth += (part == "(") - (part == ")")
        if depth:
            texts.append("")
        elif part[0] == "\\" and not part[1].isalnum():
            texts[-1] += part[1]
        elif part[0] in "*?{":  # what stands before may be missing
            texts[-1] = texts[-1][:-1]
            texts.append("")
        elif len(part) > 1 or part in ".^$+()":
            texts.append("")
        else:
            texts[-1] += part
    longest = max(texts, key=len)
    return longest if len(longest) >= _SHORTEST else ""
