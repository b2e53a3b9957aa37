"""On which line a value stands, for files whose parser does not tell. Only used for reports."""

import re
from collections.abc import Mapping
from typing import Final

from pidone.ecosystem.document import KeyPath
from pidone.ecosystem.formats.javascript.tokens import Token, tokens

Lines = Mapping[KeyPath, int]

_CLOSING: Final = ("}", "]", ")")
_OPENING: Final = ("{", "[", "(")

_TOML_TOKEN: Final = re.compile(
    r"""
    (?P<skip>[ \t\r]+|\#[^\n]*)
    | (?P<newline>\n)
    | (?P<string>\"{3}(?:[^"\\]|\\.|\"{1,2}(?!\"))*\"{3,5} | '{3}(?:[^']|'{1,2}(?!'))*'{3,5}
        | "(?:[^"\\\n]|\\.)*" | '[^'\n]*')
    | (?P<word>[A-Za-z0-9_-]+)
    | (?P<mark>\[\[|\]\]|.)
    """,
    re.VERBOSE | re.DOTALL,
)


def nearest(lines: Lines, path: KeyPath) -> int | None:
    """The line of `path`, or of the closest thing around it that is known."""
    for length in range(len(path), -1, -1):
        if (line := lines.get(path[:length])) is not None:
            return line
    return None


def javascript_lines(text: str) -> Lines:
    """The keys and entries of the literal that a JSON or JavaScript file consists of, as far as it is one."""
    try:
        return _Literal(text).scan()
    except RecursionError:
        return {}


class _Literal:
    """Walks the tokens of an object literal; what is computed is skipped."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._line, self._counted_to = 1, 0
        self._found: dict[KeyPath, int] = {}

    def scan(self) -> Lines:
        start, path = self._start()
        if start is not None:
            self._value(start, path)
        return self._found

    def _start(self) -> tuple[int | None, KeyPath]:
        """The token at which the exported literal begins."""
        texts = [token.text for token in self._tokens]
        for index in range(len(texts)):
            if texts[index : index + 4] == ["module", ".", "exports", "="]:
                return index + 4, ()
            if texts[index : index + 2] == ["export", "default"]:
                return index + 2, ()
            if texts[index] == "export" and texts[index + 2 : index + 4] == ["apps", "="]:
                return index + 4, ("apps",)
            if texts[index : index + 4] == ["exports", ".", "apps", "="]:
                return index + 4, ("apps",)
        return (0, ()) if texts and texts[0] in ("{", "[") else (None, ())

    def _text_at(self, index: int) -> str:
        return self._tokens[index].text if index < len(self._tokens) else ""

    def _note(self, path: KeyPath, token: Token) -> None:
        self._line += self._text.count("\n", self._counted_to, token.start)
        self._counted_to = token.start
        self._found[path] = self._line  # of two equal keys the last one counts

    def _value(self, index: int, path: KeyPath) -> int:
        """Behind the value that begins at `index`."""
        known = len(self._found)
        if self._text_at(index) == "{":
            index = self._object(index + 1, path)
        elif self._text_at(index) == "[":
            index = self._array(index + 1, path)
        behind = self._expression_end(index)
        if behind != index and len(self._found) > known and self._text_at(index) in (".", "[", "?."):
            for guess in list(self._found)[known:]:  # [...].map(f): these are not the final entries
                del self._found[guess]
        return behind

    def _expression_end(self, index: int) -> int:
        depth = 0
        while index < len(self._tokens):
            token = self._tokens[index]
            if token.kind == "mark":
                if depth == 0 and token.text in (",", ";", *_CLOSING):
                    break
                depth += (token.text in _OPENING) - (token.text in _CLOSING)
            index += 1
        return index

    def _object(self, index: int, path: KeyPath) -> int:
        while index < len(self._tokens) and self._text_at(index) != "}":
            token = self._tokens[index]
            if token.kind in ("word", "string"):
                key = token.text[1:-1] if token.kind == "string" else token.text
                if self._text_at(index + 1) in (":", ",", "}"):
                    self._note((*path, key), token)
                if self._text_at(index + 1) == ":":
                    index = self._value(index + 2, (*path, key))
            index = self._expression_end(index)
            if self._text_at(index) == ",":
                index += 1
            elif self._text_at(index) != "}":
                break
        return index + 1

    def _array(self, index: int, path: KeyPath) -> int:
        position, countable = 0, True
        while index < len(self._tokens) and self._text_at(index) != "]":
            countable = countable and self._text_at(index) != "..."
            if countable:
                self._note((*path, position), self._tokens[index])
                index = self._value(index, (*path, position))
            index = self._expression_end(index)
            position += 1
            if self._text_at(index) == ",":
                index += 1
            elif self._text_at(index) != "]":
                break
        return index + 1


def toml_lines(text: str) -> Lines:
    """The tables and keys of a TOML file (keys inside inline tables are on the line of their table)."""
    found: dict[KeyPath, int] = {}
    arrays: dict[KeyPath, int] = {}
    table: KeyPath = ()
    keys: list[str] = []
    line, depth, in_value, header = 1, 0, False, ""
    for match in _TOML_TOKEN.finditer(text):
        kind, piece = match.lastgroup, match[0]
        if kind == "newline" and depth == 0:
            keys, in_value, header = [], False, ""
        elif in_value:
            depth += (piece in ("[", "{")) + 2 * (piece == "[[")
            depth -= (piece in ("]", "}")) + 2 * (piece == "]]")
        elif kind == "mark" and piece in ("[", "[[") and not keys:
            header = piece
        elif header and piece in ("]", "]]"):
            table = _table(keys, arrays, is_array=header == "[[")
            found.setdefault(table, line)
            found.setdefault(table[:1], line)
        elif kind in ("word", "string"):
            keys.append(piece.strip("\"'") if kind == "string" else piece)
        elif piece == "=":
            found.setdefault((*table, *keys), line)
            in_value = True
        line += piece.count("\n")
    return found


def _table(keys: list[str], arrays: dict[KeyPath, int], *, is_array: bool) -> KeyPath:
    """The path of a header: names of arrays of tables mean their last entry."""
    path: KeyPath = ()
    for position, key in enumerate(keys):
        path = (*path, key)
        if position == len(keys) - 1 and is_array:
            arrays[path] = arrays.get(path, -1) + 1
        if path in arrays:
            path = (*path, arrays[path])
    return path
