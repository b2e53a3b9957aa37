"""What can be told of a pattern before it is looked for: which lines need no look, which looks no limit."""

import re
from collections.abc import Iterable, Iterator
from re import _parser as parser  # the only way to see what a pattern is made of
from typing import Any, Final, TypeAlias

from pidone.ecosystem.byte_pattern import byte_pattern
from pidone.record import Record

_Item: TypeAlias = tuple[object, Any]
"""As re's parser gives it: what it is, and what belongs to it."""

_REPEATS: Final = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")
_ENDS_OF_LINES: Final = ("AT_BEGINNING", "AT_END", "AT_BOUNDARY", "AT_NON_BOUNDARY")
"""What looks no further than the next byte."""
_WITH_NEWLINE: Final = ("CATEGORY_SPACE", "CATEGORY_NOT_DIGIT", "CATEGORY_NOT_WORD")
_NEWLINE: Final = ord("\n")
_ANY: Final = "\uffff"
"""In place of a byte that may be one of several."""

_SHORTEST: Final = 3
"""Fewer bytes are in too many lines to be worth a look."""
_LONGEST: Final = 32
"""More make it no faster, and `rfind` may take their number for each byte of a line."""
_MOST: Final = 8
"""Texts: to look for as many takes as long as to look for the pattern."""
_STEPS: Final = 8
"""For each byte of a line, to try a pattern wherever its text is."""
_FREQUENT: Final = b"z/_()[]{}=,\"'.ABCDEFGHIJKLMNOPQRSTUVWXYZvkbypgwfumcdl-:hrsnioate0123456789 "
"""Bytes of lines, the frequent ones last; what is not here is rare."""


class Traits(Record):
    """Of one pattern."""

    texts: tuple[bytes, ...] = ()
    """A line in which the pattern is found contains one of them; none if that is not easily told."""
    is_folded: bool = False
    """The texts, and what they are looked for in, are to be in lower case."""
    before: int | None = None
    """How many bytes of each match stand before its only text.

    Known only if a match is within a line, and if to try the pattern wherever the text is takes a number of
    steps in proportion to the length of the line: then no look at a few lines needs a limit.
    """

    @property
    def signs(self) -> tuple[bytes, ...]:
        """A byte of the text that few lines contain, in both cases if it is a letter and they are folded."""
        (text,) = self.texts
        sign = bytes((min(text, key=_FREQUENT.find),))
        return (sign, sign.upper()) if self.is_folded and sign.isalpha() else (sign,)


def examine(pattern: str) -> Traits:
    """Find out. The pattern compiles."""
    parsed = parser.parse(byte_pattern(pattern), re.MULTILINE)
    flags = parsed.state.flags
    if flags & re.LOCALE:
        return Traits()
    items = list(parsed)
    is_folded = bool(flags & re.IGNORECASE)
    texts = tuple(text.lower() if is_folded else text for text in _texts(items))
    if len(texts) != 1 or flags & re.DOTALL:
        return Traits(texts, is_folded)
    return Traits(texts, is_folded, _before(texts[0], items, is_folded=is_folded))


def _flat(items: Iterable[_Item]) -> Iterator[_Item]:
    """Without the groups, but for those with flags of their own."""
    for kind, value in items:
        if str(kind) == "SUBPATTERN" and not (value[1] or value[2]):
            yield from _flat(value[3])
        else:
            yield kind, value


def _texts(items: Iterable[_Item]) -> tuple[bytes, ...]:
    """One of them is in each line that matches; of several ways to choose, the one with the least work."""
    choices: list[tuple[bytes, ...]] = []
    run = b""
    for kind, value in _flat(items):
        name = str(kind)
        if name == "LITERAL":
            run += bytes((value,))
        elif name != "AT":
            choices += ((run,), _texts_within(name, value))
            run = b""
    choices.append((run,))
    useful = [texts for texts in choices if texts and min(map(len, texts)) >= _SHORTEST]
    best = min(useful, key=lambda texts: sum(1 / len(text) for text in texts), default=())
    return tuple(text[:_LONGEST] for text in best) if len(best) <= _MOST else ()


def _texts_within(name: str, value: Any) -> tuple[bytes, ...]:
    """Of an item that is more than a byte."""
    if name == "BRANCH":
        branches = [_texts(branch) for branch in value[1]]
        return tuple(text for texts in branches for text in texts) if all(branches) else ()
    if name in _REPEATS and value[0]:
        return _texts(value[2])
    if name == "ATOMIC_GROUP":
        return _texts(value)
    return _texts(value[1]) if name == "ASSERT" else ()


def _before(text: bytes, items: Iterable[_Item], *, is_folded: bool) -> int | None:
    """See `Traits`."""
    cells = _cells(list(_flat(items)))
    if is_folded:  # as bytes are: ASCII only
        cells = "".join(each.lower() if each.isascii() else each for each in cells)
    before = cells.find(text.decode("latin-1"))
    overlaps_itself = any(text.startswith(text[n:]) for n in range(1, len(text)))
    return before if before >= 0 and not overlaps_itself and len(cells) <= _STEPS * len(text) else None


def _cells(items: list[_Item]) -> str:
    """The bytes of the part of a match that has always the same length, `_ANY` for those that vary.

    Nothing if anything else is in the pattern, except at its end a byte, or set of bytes, that is repeated:
    that ends wherever it likes, and nobody comes back to it to try another length.
    """
    cells = ""
    for number, (kind, value) in enumerate(items, 1):
        least = most = 1
        if str(kind) == "AT":
            if str(value) not in _ENDS_OF_LINES:
                return ""
            continue
        if str(kind) in _REPEATS:
            least, most, repeated = value
            if len(repeated) != 1:
                return ""
            ((kind, value),) = repeated  # noqa: PLW2901 (the item itself)
        if (
            not _is_within_line(str(kind), value)
            or (least != most and number < len(items))
            or len(cells) + least > _STEPS * _LONGEST
        ):
            return ""
        cells += (chr(value) if str(kind) == "LITERAL" else _ANY) * least
    return cells


def _is_within_line(name: str, value: Any) -> bool:
    r"""Whether it is a byte, or any of a set of them without `\n`."""
    if name == "LITERAL":
        return bool(value != _NEWLINE)
    if name == "NOT_LITERAL":
        return bool(value == _NEWLINE)
    if name == "IN":
        is_negated = any(str(kind) == "NEGATE" for kind, _ in value)
        return any(_has_newline(str(kind), part) for kind, part in value) == is_negated
    return name == "ANY"


def _has_newline(name: str, value: Any) -> bool:
    if name == "RANGE":
        return bool(value[0] <= _NEWLINE <= value[1])
    return str(value) in _WITH_NEWLINE if name == "CATEGORY" else name == "LITERAL" and value == _NEWLINE
