"""Pieces of lines: as wide as a terminal shows them, cut, padded, drawn as bars."""

import re
from collections.abc import Iterable, Sequence
from math import floor, log10
from typing import Final, TypeAlias

from wcwidth import wcswidth, wcwidth

Piece: TypeAlias = tuple[str, str]
"""A name of a style (see `driver.PALETTE`), and text."""
Line: TypeAlias = list[Piece]

_BARS: Final = "▁▂▃▄▅▆▇█"
_PARTS: Final = " ▏▎▍▌▋▊▉█"
_SGR: Final = re.compile(r"\x1b\[([0-9;]*)m")
_LEAST_PART: Final = 8
"""Columns of a line that are left, from which on a word that fits into no line begins there."""
_FIRST_COLOUR: Final = 30


def width(text: str) -> int:
    """Columns of a terminal that a text takes."""
    return len(text) if text.isascii() else max(0, wcswidth(text))


def cut(text: str, most: int) -> str:
    """As much of a text as fits, with an ellipsis for what does not."""
    if most <= 0:
        return ""
    if width(text) <= most:
        return text
    if text.isascii():
        return text[: most - 1] + "…"
    taken = 0
    for number, character in enumerate(text):
        taken += max(0, wcwidth(character))
        if taken > most - 1:
            return text[:number] + "…"
    return text


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """Exactly as wide as asked for."""
    text = cut(text, columns)
    space = " " * (columns - width(text))
    return space + text if right else text + space


def fold(text: str, columns: int) -> list[str]:
    """A text over as many lines as it takes."""
    lines, taken, begin = [], 0, 0
    for number, character in enumerate(text):
        wide = max(0, wcwidth(character)) if character > "~" else 1
        if taken + wide > columns:
            lines.append(text[begin:number])
            begin, taken = number, 0
        taken += wide
    return [*lines, text[begin:]]


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


def middle(text: str, most: int) -> str:
    """As much of a name as fits: its begin, and its end, which says which instance it is."""
    if width(text) <= most or not text.isascii():
        return cut(text, most)
    end = min(4, most // 2)
    return f"{text[: most - 1 - end]}…{text[len(text) - end :]}"


def length(line: Iterable[Piece]) -> int:
    """Columns of a whole line."""
    return sum(width(text) for _, text in line)


def fit(line: Line, columns: int) -> Line:
    """The line, cut or filled with spaces to exactly these columns."""
    fitted: Line = []
    left = columns
    for style, text in line:
        wide = width(text)
        if wide > left:
            filling = not text.strip(" ─")
            return [*fitted, (style, text[:left] if filling else pad(text, left))]
        fitted.append((style, text))
        left -= wide
    return [*fitted, ("", " " * left)] if left else fitted


def ceiling(value: float) -> float:
    """The next of 10, 20, 50, 100, 200, ...: where a scale may end."""
    if value <= 10:
        return 10.0
    power = 10.0 ** floor(log10(value))
    return float(next(step * power for step in (1, 2, 5, 10) if value <= step * power))


def sparkline(values: Sequence[float], top: float, columns: int) -> str:
    """The last values as bars; what is above nothing can be seen."""
    shown = values[-columns:]
    return "".join(
        " " if value <= 0 else _BARS[min(len(_BARS) - 1, int(value / top * len(_BARS)))] for value in shown
    ).rjust(columns)


def bar(share: float, columns: int) -> str:
    """A bar that is full at 1, in eighths of a column."""
    eighths = round(min(1.0, max(0.0, share)) * columns * 8)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_PARTS[rest] if rest else "")).ljust(columns, "·")


def coloured(text: str, style: str) -> Line:
    """Text with an app's colour codes as pieces; `style` is that of what has none."""
    if "\x1b" not in text:
        return [(style, text)]
    line: Line = []
    now, at = style, 0
    for found in _SGR.finditer(text):
        if found.start() > at:
            line.append((now, text[at : found.start()]))
        for code in found[1].split(";"):
            number = int(code or 0)
            if number in (0, 39):
                now = style
            elif number % 60 in range(_FIRST_COLOUR, _FIRST_COLOUR + 8) and number < 98:
                now = f"sgr{number % 60 - _FIRST_COLOUR}"
        at = found.end()
    return [*line, (now, text[at:])]
