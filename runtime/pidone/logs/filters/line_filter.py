"""What an app's lines lose before anybody gets them: lines of no interest, secrets, codes of colours.

Nearly all lines are of no interest, and a look at each of them costs more than all the rest of the pipeline.
So one look goes over many lines, for a text that is in whatever a pattern matches, and by `rfind`, which
takes a third of the time of `find`. What is done to many lines is what would be done to each of them alone.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from pidone.bounded_search import LONG, BoundedSearch, SearchTooLongError
from pidone.ecosystem.byte_pattern import byte_pattern
from pidone.ecosystem.spec import Bytes
from pidone.logs.filters.matches import Folding, Matches, matches_of
from pidone.logs.filters.patterns import Traits, examine
from pidone.logs.lines import has_longer

LineFilter: TypeAlias = Callable[[bytes], bytes]
r"""Whole lines in, those that are left out, each ended by `\n`."""

REDACTED: Final = b"***"
_COLOUR: Final = re.compile(rb"\x1b\[[0-9;:]*m")  # SGR of ECMA-48, 8.3.117
_TELLS_ALONE: Final = re.compile(r"\(\?[<=!>]|\\[AZ]|[*+?}]\+")
"""What sees beyond a line, or takes more and gives nothing back: such a pattern is tried line by line."""
_AT_ONCE: Final[Bytes] = 64 * 1024
"""What comes together is hardly ever more, unless a line of it is long."""


def line_filter(
    *, drop: Sequence[str], redact: Sequence[str], strip_colors: bool, search: BoundedSearch
) -> LineFilter:
    """For the keys `log_drop`, `log_redact` and `strip_colors`.

    A pattern that takes too long on a line is not found in it by `log_drop`, and for `log_redact` all of that
    line is a secret. Once that has happened, it is looked for in lines one by one.
    """
    fold = Folding()
    steps: list[LineFilter] = [_without_colours] if strip_colors else []
    steps += [_dropping(pattern, search, fold) for pattern in drop]
    steps += [_redacting(pattern, search, fold) for pattern in redact]

    def apply(lines: bytes) -> bytes:
        for step in steps:
            lines = lines and step(lines)
        fold.forget()
        return lines

    return apply


def _without_colours(lines: bytes) -> bytes:
    return _COLOUR.sub(b"", lines) if b"\x1b[" in lines else lines


def _dropping(pattern: str, bounded: BoundedSearch, fold: Folding) -> LineFilter:
    """Without the lines in which the pattern is found."""
    compiled, traits = _compiled(pattern), examine(pattern)
    search = compiled.search

    def drop(line: bytes) -> bytes:
        return line + b"\n" if search(line) is None else b""

    if traits.before is None:
        at_once = _at_once(pattern, compiled, traits, drop, fold)
    else:
        at_once = _drop_at_text(matches_of(compiled, traits, traits.before, fold))
    return _limited(traits, at_once, drop, lambda line: line + b"\n", bounded, fold)


def _redacting(pattern: str, bounded: BoundedSearch, fold: Folding) -> LineFilter:
    """With REDACTED in place of what the pattern's first group matches, or all of it if it has no group."""
    compiled, traits = _compiled(pattern), examine(pattern)
    search, group = compiled.search, min(compiled.groups, 1)

    def hide(found: re.Match[bytes]) -> bytes:
        start, end = found.span(group)
        if start < 0:  # the group took no part
            return found[0]
        return found.string[found.start() : start] + REDACTED + found.string[end : found.end()]

    def hide_all(text: bytes) -> bytes:
        return compiled.sub(hide, text)

    def hide_in_line(line: bytes) -> bytes:
        found = search(line)
        if found is None:
            return line + b"\n"
        start, end = found.span(group)
        if start < 0 or search(line, found.end()):
            return hide_all(line) + b"\n"
        return line[:start] + REDACTED + line[end:] + b"\n"  # a third of what `sub` takes for it

    if traits.before is None:
        at_once = _at_once(pattern, compiled, traits, hide_in_line, fold)
    else:
        at_once = _hide_at_text(matches_of(compiled, traits, traits.before, fold), group)
    return _limited(traits, at_once, hide_in_line, lambda _line: REDACTED + b"\n", bounded, fold)


def _compiled(pattern: str) -> re.Pattern[bytes]:
    return re.compile(byte_pattern(pattern), re.MULTILINE)


def _drop_at_text(matches: Matches) -> LineFilter:
    """Drop the lines in which the pattern is."""

    def at_once(lines: bytes) -> bytes:
        found = matches(lines)
        if not found:
            return lines
        pieces: list[bytes] = []
        rest = len(lines)
        for one in found:
            at = one.start()
            if at < rest:  # not in the line that went last
                pieces.append(lines[lines.index(b"\n", at) + 1 : rest])
                rest = lines.rfind(b"\n", 0, at) + 1
        return b"".join((lines[:rest], *reversed(pieces)))

    return at_once


def _hide_at_text(matches: Matches, group: int) -> LineFilter:
    """Hide secrets, likewise."""

    def at_once(lines: bytes) -> bytes:
        found = matches(lines)
        if not found:
            return lines
        pieces: list[bytes] = []
        rest = len(lines)
        for one in found:
            start, end = one.span(group)
            pieces.append(lines[end:rest])
            rest = start
        pieces.append(lines[:rest])
        return REDACTED.join(reversed(pieces))

    return at_once


def _limited(
    traits: Traits,
    at_once: LineFilter,
    to_one: LineFilter,
    if_too_long: LineFilter,
    bounded: BoundedSearch,
    fold: Folding,
) -> LineFilter:
    """Lines without a text that would be there need no look; the others are looked at for a moment at most.

    Args:
        traits: Of the pattern.
        at_once: What is to be done to lines.
        to_one: The same for one line, given without its end.
        if_too_long: What is done instead where nobody knows whether the pattern is there.
        bounded: Looks.
        fold: Of all patterns of the filter.
    """
    is_quick = True
    needs_limit = traits.before is None

    def one_by_one(lines: bytes) -> bytes:
        return b"".join(map(one, lines[:-1].split(b"\n")))

    def one(line: bytes) -> bytes:
        if not _may_be_in(line, traits, fold):
            return line + b"\n"
        try:
            return (bounded.attempt_apart if len(line) > LONG else bounded.attempt)(to_one, line)
        except SearchTooLongError:
            return if_too_long(line)

    def apply(lines: bytes) -> bytes:
        nonlocal is_quick
        if len(lines) <= _AT_ONCE and not needs_limit:
            return at_once(lines)
        if not _may_be_in(lines, traits, fold):
            return lines
        if is_quick and len(lines) <= _AT_ONCE and not has_longer(lines, LONG):
            try:
                return bounded.attempt(at_once, lines)
            except SearchTooLongError:
                is_quick = False
        return one_by_one(lines)

    return apply


def _may_be_in(lines: bytes, traits: Traits, fold: Folding) -> bool:
    if not traits.texts:
        return True
    place = fold(lines) if traits.is_folded else lines
    return any(place.rfind(text) >= 0 for text in traits.texts)


def _at_once(
    pattern: str, compiled: re.Pattern[bytes], traits: Traits, to_one: LineFilter, fold: Folding
) -> LineFilter:
    """Have each line changed in which the pattern may be found; `to_one` gets it without its end."""
    if traits.texts:
        return _to_lines_with_text(traits, to_one, fold)
    if _TELLS_ALONE.search(pattern):
        return lambda lines: b"".join(map(to_one, lines[:-1].split(b"\n")))
    search = compiled.search

    def at_once(lines: bytes) -> bytes:
        """The line in which a match begins is looked at alone."""
        done = 0
        pieces: list[bytes] = []
        while (found := search(lines, done)) and (at := found.start()) < len(lines):
            start = lines.rfind(b"\n", done, at) + 1 or done
            end = lines.index(b"\n", at)
            pieces += (lines[done:start], to_one(lines[start:end]))
            done = end + 1
        return b"".join((*pieces, lines[done:])) if pieces else lines

    return at_once


def _to_lines_with_text(traits: Traits, to_one: LineFilter, fold: Folding) -> LineFilter:
    """Have each line changed that contains one of the texts."""

    def at_once(lines: bytes) -> bytes:
        place = fold(lines) if traits.is_folded else lines
        starts: set[int] = set()
        for text in traits.texts:
            start = len(lines)
            while (at := place.rfind(text, 0, start)) >= 0:
                start = lines.rfind(b"\n", 0, at) + 1
                starts.add(start)
        done = 0
        pieces: list[bytes] = []
        for start in sorted(starts):
            end = lines.index(b"\n", start)
            pieces += (lines[done:start], to_one(lines[start:end]))
            done = end + 1
        return b"".join((*pieces, lines[done:]))

    return at_once
