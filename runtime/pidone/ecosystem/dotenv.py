"""dotenv files: NAME=VALUE lines as Node's dotenv reads them, with docker compose's `${VAR}` references."""

import re
from collections.abc import Mapping
from typing import Final

from pidone.ecosystem.references import Reference, lookup, substitute

_ASSIGNMENT: Final = r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.\-]*)[ \t]*(?:=|:[ \t]+)[ \t]*"
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t"}
_COMMENT: Final = r"(^|[ \t]+)#.*"


class DotenvError(ValueError):
    """A line that is none: the message names its number and what was expected, never its content."""


def parse(text: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of a file, in order; the last of equal names wins.

    Single quotes keep everything as it is, double quotes know backslash escapes, both may span lines;
    unquoted values end at the line or at ` #`. References look at the file first, then at `environ`.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        end = text.find("\n", position)
        end = len(text) if end < 0 else end
        line = text[position:end]
        content = line.lstrip()
        if not content or content.startswith("#"):
            position = end + 1
            continue
        start = position + len(line) - len(content)
        assignment = re.compile(_ASSIGNMENT).match(text, start)
        if not assignment or assignment.end() > end:
            number = text.count("\n", 0, position) + 1
            raise DotenvError(f"line {number}: expected NAME=VALUE")
        value, position = _value(text, assignment.end(), end, {**environ, **found})
        found[assignment[1]] = value
    return found


def _value(text: str, start: int, end: int, known: Mapping[str, str]) -> tuple[str, int]:
    """The value that starts at `start` and the position of the next line."""
    if start < end and text[start] in "'\"`":
        close = _closing(text, start)
        if close is not None:
            after = text.find("\n", close)
            content = text[start + 1 : close]
            if text[start] == '"':
                content = _expand(re.sub(r"\\(.)", _unescape, content, flags=re.DOTALL), known)
            return content, len(text) if after < 0 else after + 1
    return _expand(re.sub(_COMMENT, "", text[start:end]).strip(), known), end + 1


def _closing(text: str, start: int) -> int | None:
    """The position of the quote that closes the one at `start`."""
    position = start + 1
    while position < len(text):
        if text[position] == text[start]:
            return position
        position += 2 if text[position] == "\\" and text[start] == '"' else 1
    return None


def _unescape(found: re.Match[str]) -> str:
    return _ESCAPES.get(found[1], found[1] if found[1] in '"\\$' else found[0])


def _expand(value: str, known: Mapping[str, str]) -> str:
    def replacement(reference: Reference) -> str:
        current = lookup(reference, known)
        return current if current is not None else _expand(reference.rest, known)

    return substitute(value, replacement) if "${" in value else value
