"""Patterns of paths that do not count for `watch`, as chokidar and PM2's files write them.

A name without a slash means that name (or glob) at any depth; a path or glob with one starts at the app's
folder, or is absolute; `re:` begins a regular expression; `!` takes back what another pattern says. Who
ignores a folder ignores what is in it.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

Matcher: TypeAlias = Callable[[str, str], bool]
"""Whether a path counts, given absolute and from the app's folder."""

REGEX: Final = "re:"
_PIECES: Final = re.compile(r"/\*\*$|/\*\*/|^\*\*/|\*+|\?|\[!?\^?\]?[^\]/]*\]|[{},]|\\.|.", re.DOTALL)
_HERE: Final = (".", "..")
_FIXED: Final = {
    "/**": "(?:/.*)?",
    "/**/": "/(?:.*/)?",
    "**/": "(?:.*/)?",
    "?": "[^/]",
}


def ignorer(patterns: Iterable[str]) -> tuple[Matcher, Matcher]:
    """What is ignored, and what is exempt from that. Raises re.error for a `re:` that is none."""
    written = [(pattern.removeprefix("!"), pattern.startswith("!")) for pattern in patterns]
    ignored = [_matcher(pattern) for pattern, is_exempt in written if not is_exempt]
    exempt = [_matcher(pattern) for pattern, is_exempt in written if is_exempt]
    return (
        lambda path, below: any(matches(path, below) for matches in ignored),
        lambda path, below: any(matches(path, below) for matches in exempt),
    )


def _matcher(written: str) -> Matcher:
    if written.startswith(REGEX):
        search = re.compile(written.removeprefix(REGEX)).search
        # `/[\/\\]\./` is meant to find a segment, also the first one.
        return lambda _, below: search(below) is not None or search("/" + below) is not None
    pattern = written.removeprefix("./").rstrip("/")
    matches = re.compile(translate(pattern), re.DOTALL).fullmatch
    if os.path.isabs(pattern):
        return lambda path, _: any(matches(each) for each in _upwards(path))
    if "/" not in pattern:
        return lambda _, below: any(part not in _HERE and matches(part) for part in below.split("/"))
    return lambda _, below: any(matches(each) for each in _upwards(below))


def translate(glob: str) -> str:
    """A glob as a regular expression: `*`, `?`, `[...]`, `**`, `{one,other}`, and a backslash before any."""
    found, braces = "", 0
    for piece in _PIECES.findall(glob):
        if piece in _FIXED:
            found += _FIXED[piece]
        elif piece[0] == "*":
            found += "[^/]*" if piece == "*" else ".*"
        elif piece[0] == "[" and len(piece) > 2:
            found += _class(piece)
        elif piece == "{":
            found, braces = found + "(?:", braces + 1
        elif piece == "}" and braces:
            found, braces = found + ")", braces - 1
        elif piece == "," and braces:
            found += "|"
        else:
            found += re.escape(piece[-1] if piece[0] == "\\" else piece)
    return re.escape(glob) if braces else found  # an unclosed brace is a brace


def _class(piece: str) -> str:
    inside = piece[1:-1]
    negated = inside[:1] in ("!", "^")
    inside = inside[1:] if negated else inside
    escaped = inside.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]").replace("&&", "&\\&")
    found = f"[{'^/' if negated else ''}{escaped}]"
    try:
        re.compile(found)
    except re.error:  # a range that goes backwards
        return re.escape(piece)
    return found


def _upwards(path: str) -> Iterator[str]:
    """A path and its parents."""
    while path and path != "/":
        yield path
        path = os.path.dirname(path)
