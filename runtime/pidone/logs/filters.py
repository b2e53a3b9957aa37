"""What an app's lines lose before anybody gets them: lines of no interest, secrets, codes of colours."""

import re
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

LineFilter: TypeAlias = Callable[[bytes], bytes]
r"""Whole lines in, those that are left out, each ended by `\n`."""

REDACTED: Final = b"***"
_COLOUR: Final = re.compile(rb"\x1b\[[0-9;:]*m")  # SGR of ECMA-48, 8.3.117
_LOOKS_AROUND: Final = ("(?<", "\\A", "\\Z")
"""What may see the line before: a pattern with any of these is not tried on many lines at once."""


def line_filter(*, drop: Sequence[str], redact: Sequence[str], strip_colors: bool) -> LineFilter:
    """For the keys `log_drop`, `log_redact` and `strip_colors`."""
    steps: list[LineFilter] = []
    if strip_colors:
        steps.append(_without_colours)
    steps += [_dropping(pattern) for pattern in drop]
    steps += [_redacting(pattern) for pattern in redact]

    def apply(lines: bytes) -> bytes:
        for step in steps:
            lines = step(lines)
        return lines

    return apply


def _without_colours(lines: bytes) -> bytes:
    return _COLOUR.sub(b"", lines) if b"\x1b[" in lines else lines


def _dropping(pattern: str) -> LineFilter:
    """Without the lines in which the pattern is found."""
    search = re.compile(pattern.encode(), re.MULTILINE).search
    may_be_in = _sees_all(pattern, search)

    def drop(lines: bytes) -> bytes:
        if not may_be_in(lines):
            return lines
        return b"".join(line + b"\n" for line in lines[:-1].split(b"\n") if search(line) is None)

    return drop


def _redacting(pattern: str) -> LineFilter:
    """With REDACTED in place of what the pattern's first group matches, or all of it if it has no group."""
    compiled = re.compile(pattern.encode(), re.MULTILINE)
    may_be_in = _sees_all(pattern, compiled.search)

    def hide(found: re.Match[bytes]) -> bytes:
        start, end = found.span(1) if compiled.groups else found.span()
        if start < 0:  # the group took no part
            return found[0]
        return found.string[found.start() : start] + REDACTED + found.string[end : found.end()]

    def redact(lines: bytes) -> bytes:
        if not may_be_in(lines):
            return lines
        return b"\n".join(compiled.sub(hide, line) for line in lines[:-1].split(b"\n")) + b"\n"

    return redact


def _sees_all(pattern: str, search: Callable[[bytes], object]) -> Callable[[bytes], object]:
    """Whether a pattern may be found in one of many lines: nearly always it is not, and one look tells."""
    return (lambda _lines: True) if any(sign in pattern for sign in _LOOKS_AROUND) else search
