"""Pieces of lines: as wide as a terminal shows them, filled, coloured, drawn as bars."""

import re
from collections.abc import Iterable, Sequence
from math import floor, log10
from typing import Final, TypeAlias

from pidone.logs.formats.widths import pad, width

Piece: TypeAlias = tuple[str, str]
"""A name of a style (see `driver.PALETTE`), and text."""
Line: TypeAlias = list[Piece]

_BARS: Final = "▁▂▃▄▅▆▇█"
_PARTS: Final = " ▏▎▍▌▋▊▉█"
_SGR: Final = re.compile(r"\x1b\[([0-9;]*)m")
_FIRST_COLOUR: Final = 30


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
