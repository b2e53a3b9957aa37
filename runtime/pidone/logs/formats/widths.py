"""How wide text is on a terminal: cut, padded and broken by columns, not by characters."""

import re
from itertools import takewhile
from typing import Final

_LEAST_PART: Final = 8
"""Columns of a line that are left, from which on a word that fits into no line begins there."""
_KEPT_END: Final = 4


def width(text: str) -> int:
    """Columns of a terminal that a text takes."""
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth  # noqa: PLC0415 (its tables take room in the runtime: for who needs them)

    return max(0, wcswidth(text))


def cut(text: str, most: int) -> str:
    """As much of a text as fits, with an ellipsis for what does not."""
    if most <= 0:
        return ""
    return text if width(text) <= most else f"{_begin(text, most - 1)}…"


def middle(text: str, most: int) -> str:
    """As much of a name as fits: its begin, and its end, which says which instance it is."""
    if most <= 0 or width(text) <= most:
        return cut(text, most)
    end = _end(text, min(_KEPT_END, most // 2))
    return f"{_begin(text, most - 1 - width(end))}…{end}"


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """Exactly as wide as asked for."""
    text = cut(text, columns)
    space = " " * (columns - width(text))
    return space + text if right else text + space


def fold(text: str, columns: int) -> list[str]:
    """A text over as many lines as it takes."""
    lines = []
    while width(text) > columns:
        part = _begin(text, columns) or text[0]
        lines.append(part)
        text = text[len(part) :]
    return [*lines, text]


def words(text: str, columns: int, first: int | None = None) -> list[str]:
    """A text over as many lines as it takes, broken between words where that can be.

    The first line has `first` columns, if that is another number.
    """
    lines, room = [""], columns if first is None else first
    for word in text.split():
        left = room - width(lines[-1]) - bool(lines[-1])
        if width(word) > left and width(word) <= columns:
            lines.append(word)
            room = columns
        elif width(word) <= left:
            lines[-1] += f" {word}" if lines[-1] else word
        else:  # longer than any line
            begin = fold(word, left)[0] if left >= _LEAST_PART else ""
            lines[-1] += f" {begin}" if lines[-1] and begin else begin
            lines += fold(word[len(begin) :], columns)
            room = columns
    return lines


def wrap(text: str, columns: int, indent: str = "") -> list[str]:
    """As `words`, with the spaces between them as they are; lines after the first begin with `indent`."""
    if width(text) <= columns:
        return [text]
    if text.isascii():
        import textwrap  # noqa: PLC0415 (for commands)

        return textwrap.wrap(text, columns, subsequent_indent=indent, break_on_hyphens=False)
    lines = [""]
    for word in re.findall(r"\s*\S+", text):
        left = columns - width(lines[-1])
        if width(word) <= left:
            lines[-1] += word
        elif width(word.lstrip()) <= columns - len(indent):
            lines.append(indent + word.lstrip())
        else:  # longer than any line
            begin = fold(word, left)[0] if left >= _LEAST_PART else ""
            lines[-1] += begin
            rest = word[len(begin) :].lstrip()
            lines += [indent + part for part in fold(rest, max(2, columns - len(indent)))]
    return [line for line in lines if line.strip()]


def _begin(text: str, columns: int) -> str:
    """Of its begin what fits, marks that combine with the last character included."""
    if text.isascii():
        return text[: max(0, columns)]
    begin = "".join(takewhile(_Room(columns).takes, text))
    # Sequences of emoji are not as wide as all their characters, nor always as wide as their first one.
    while begin and width(begin) > columns:
        begin = begin[:-1]
    return begin


def _end(text: str, columns: int) -> str:
    """Of its end what fits; it does not begin with a mark that combines with what is not there."""
    if text.isascii():
        return text[len(text) - columns :]
    end = "".join(takewhile(_Room(columns).takes, reversed(text)))[::-1]
    while end and not width(end[0]):
        end = end[1:]
    return end


class _Room:
    """Columns that are left."""

    def __init__(self, columns: int) -> None:
        self._left = columns

    def takes(self, character: str) -> bool:
        """Whether there is room for one more."""
        self._left -= width(character)
        return self._left >= 0
