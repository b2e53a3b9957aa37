"""`log_date_format`: the tokens of dayjs (PM2's), translated to strftime's once."""

import re
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

# https://day.js.org/docs/en/display/format; strftime knows all of them but the ones made by functions.
_TOKENS: Final[Mapping[str, str | Callable[[time.struct_time, int], str]]] = MappingProxyType(
    {
        "YYYY": "%Y",
        "YY": "%y",
        "MMMM": "%B",
        "MMM": "%b",
        "MM": "%m",
        "M": lambda at, _: str(at.tm_mon),
        "DD": "%d",
        "D": lambda at, _: str(at.tm_mday),
        "dddd": "%A",
        "ddd": "%a",
        "dd": lambda at, _: time.strftime("%a", at)[:2],
        "d": "%w",
        "HH": "%H",
        "H": lambda at, _: str(at.tm_hour),
        "hh": "%I",
        "h": lambda at, _: str(at.tm_hour % 12 or 12),
        "mm": "%M",
        "m": lambda at, _: str(at.tm_min),
        "ss": "%S",
        "s": lambda at, _: str(at.tm_sec),
        "SSS": lambda _, millis: f"{millis:03d}",
        "ZZ": lambda at, _: _offset(at, ""),
        "Z": lambda at, _: _offset(at, ":"),
        "A": "%p",
        "a": lambda at, _: time.strftime("%p", at).lower(),
        "X": lambda at, _: str(int(time.mktime(at))),
        "x": lambda at, millis: str(int(time.mktime(at)) * 1000 + millis),
    }
)
_LEXER: Final = re.compile(r"\[(?P<literal>[^\]]*)\]|" + "|".join(sorted(_TOKENS, key=len, reverse=True)))


def date_formatter(pattern: str) -> Callable[[float], str]:
    """Seconds since the epoch to local time as `pattern` says; what is no token stands for itself."""
    pieces: list[str | Callable[[time.struct_time, int], str]] = []
    position = 0
    for match in _LEXER.finditer(pattern):
        pieces.append(pattern[position : match.start()])
        literal = match["literal"]
        pieces.append(literal if literal is not None else _piece(match[0]))
        position = match.end()
    pieces.append(pattern[position:])

    def render(seconds: float) -> str:
        whole, millis = divmod(int(seconds * 1000), 1000)
        at = time.localtime(whole)
        return "".join(piece if isinstance(piece, str) else piece(at, millis) for piece in pieces)

    return render


def _piece(token: str) -> Callable[[time.struct_time, int], str]:
    how = _TOKENS[token]
    if not isinstance(how, str):
        return how
    directive = how
    return lambda at, _: time.strftime(directive, at)


def _offset(at: time.struct_time, colon: str) -> str:
    minutes = at.tm_gmtoff // 60
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02d}{colon}{abs(minutes) % 60:02d}"
