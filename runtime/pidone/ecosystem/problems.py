"""Everything wrong with a file, collected so that the user sees it all at once."""

import json
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from pidone.ecosystem.document import Document, KeyPath
from pidone.masked_args import mask_args
from pidone.masking import MASK, is_secret, mask_named

_MOST_WORDS: Final = 1000
"""Among more it takes longer than the hint is worth, as each word is compared with each."""
_SHOWN_LENGTH: Final = 200
_SHOWN_START: Final = 80
"""How much of it is the beginning; the end of a path says more."""
_QUOTE: Final = json.JSONEncoder(ensure_ascii=False).encode
"""json.dumps() makes an encoder for each text that is not to be ASCII, and each app's name is one."""


def shown(value: object) -> str:
    """A value as a message quotes it: scalars as JSON (long ones without their middle), others by kind."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, float | int) or value is None:
        text = json.dumps(value) if abs(value or 0) < 1e20 else "a huge number"
    else:
        text = _QUOTE(mask_args([str(value)], mask_named)[0])
    if len(text) <= _SHOWN_LENGTH:
        return text
    return f"{text[:_SHOWN_START]}...{text[_SHOWN_START + 3 - _SHOWN_LENGTH :]}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?`, or nothing when no known word is near."""
    from difflib import get_close_matches  # noqa: PLC0415  # only when something is wrong

    words = [*known]
    near = get_close_matches(word.lower(), words, n=1, cutoff=0.6) if len(words) <= _MOST_WORDS else []
    return f'; did you mean "{near[0]}"?' if near else ""


def strip_controls(text: str) -> str:
    """A message stays one line and moves no cursor, whatever a file put into it."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class Problems:
    """The errors, warnings and notices of one document, in the order they were found."""

    def __init__(self, document: Document, title: str) -> None:
        self.document = document
        self.title = title
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self.notices: list[str] = []
        self.spellings: dict[KeyPath, str] = {}
        """Keys of apps that the file spells otherwise: `(0, "depends_on")` by `dependsOn`."""

    def top(self) -> "Scope":
        """The place at the top of the file."""
        return Scope(self, (), "")


class Scope(NamedTuple):
    """One place in the document that messages name: the top, an app, a table inside one."""

    problems: Problems
    path: KeyPath
    label: str

    def at(self, key: str | int, label: str = "") -> "Scope":
        """A place further in."""
        return Scope(self.problems, (*self.path, key), self.label + label)

    def error(self, message: str, *keys: str | int) -> None:
        """This keeps the file from being used."""
        self.problems.errors.append(self._line(message, keys))

    def warn(self, message: str, *keys: str | int) -> None:
        """This is probably not what the user meant."""
        self.problems.warnings.append(self._line(message, keys))

    def notice(self, message: str, *keys: str | int) -> None:
        """The user may want to know this."""
        self.problems.notices.append(self._line(message, keys))

    def wrong(self, key: str | int, value: object, expected: str, *, secret: bool = False) -> None:
        """A value that cannot be used: quoted, with what would be right."""
        quoted = MASK if secret or is_secret(str(key)) else shown(value)
        self.error(f"{key} = {quoted}: {expected}", key)

    def where(self, *keys: str | int) -> str:
        """File and line of a key."""
        path = self._as_spelt((*self.path, *keys))
        line = self.problems.document.line_of(path)
        file = self.problems.document.file_of(path) or self.problems.title
        return strip_controls(f"{file}:{line}" if line else file)

    def _as_spelt(self, path: KeyPath) -> KeyPath:
        """A path whose key of an app is spelt as the file has it."""
        spelling = self.problems.spellings.get(path[:2])
        return (path[0], spelling, *path[2:]) if spelling else path

    def _line(self, message: str, keys: KeyPath) -> str:
        return strip_controls(f"{self.where(*keys)}: {self.label}{message}")
