"""Where a pattern is in many lines, if each match contains a text and stands within a line.

A byte of the text that few lines contain is looked for, which takes a tenth of the time of a text
(memrchr(3)), or the text itself where the byte is frequent after all; the pattern is tried only there.
All that goes from the last place to the first, as `rfind` takes a third of the time of `find`.
"""

import re
from collections.abc import Callable
from typing import Final, TypeAlias

from pidone.logs.filters.patterns import Traits

Matches: TypeAlias = Callable[[bytes], list[re.Match[bytes]]]
r"""Whole lines, each ended by `\n`, to what `finditer` finds in them, the last one first."""

_PATIENCE: Final = 16
"""So often the byte may stand elsewhere: to try the pattern takes a hundredth of the look for the text."""


class Folding:
    """Lines in lower case, made once for all patterns that are looked for in them."""

    def __init__(self) -> None:
        self._last = (b"", b"")

    def __call__(self, lines: bytes) -> bytes:
        """As `bytes.lower` does it, which is what patterns for bytes take for the same."""
        of, folded = self._last
        if of is not lines:
            folded = lines.lower()
            self._last = (lines, folded)  # at once: a look may be broken off anywhere
        return folded

    def forget(self) -> None:
        """They are not kept until the app writes the next ones."""
        self._last = (b"", b"")


def matches_of(pattern: re.Pattern[bytes], traits: Traits, before: int, fold: Folding) -> Matches:
    """For a pattern with one text and `before`, see `Traits`.

    The time it takes is in proportion to the length of the lines, whatever stands in them.
    """
    match, (text,), is_folded, signs = pattern.match, traits.texts, traits.is_folded, traits.signs
    sign, other = signs[0], signs[-1]
    to_sign = before + text.find(sign)
    is_rare = len(signs) == 1

    def by_text(lines: bytes) -> tuple[bytes, bytes, int]:
        return (fold(lines) if is_folded else lines), text, before

    def matches(lines: bytes) -> list[re.Match[bytes]]:
        nonlocal is_rare
        found: list[re.Match[bytes]] = []
        if not is_rare and sign not in lines and other not in lines:
            return found
        place, wanted, to_wanted = (lines, sign, to_sign) if is_rare else by_text(lines)
        patience = _PATIENCE
        at = begun = len(lines)
        while (at := place.rfind(wanted, 0, at)) >= 0:
            start = at - to_wanted
            if start >= 0 and (one := match(lines, start)):
                if one.end() > begun:
                    start = at = _begin_again(found, one)
                else:
                    found.append(one)
                begun = start
            elif is_rare and patience:
                patience -= 1
            elif is_rare:
                is_rare = False
                place, wanted, to_wanted = by_text(lines)
                at = max(start + before + len(text) - 1, 0)
        return found

    return matches


def _begin_again(found: list[re.Match[bytes]], one: re.Match[bytes]) -> int:
    """For the line of one that overlaps the last one `found`; returns where that line begins.

    Only the first of two counts, and which are the first ones is seen from there.
    """
    lines = one.string
    start = lines.rfind(b"\n", 0, one.start()) + 1
    end = lines.index(b"\n", one.start())
    while found and found[-1].start() < end:
        del found[-1]
    found += [*one.re.finditer(lines, start, end)][::-1]
    return start
