"""Usual mistakes in a file, by what its parser says and what stands there: the way out, in a few words."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple


class Remedy(NamedTuple):
    """One usual mistake. Patterns that are empty fit everything."""

    message: str
    """Found in the parser's message."""
    row: str
    """Found in the source line."""
    rest: str
    """Fits what stands from the place of the error on."""
    advice: str


_TYPOGRAPHIC: Final = "[\u201c\u201d\u201e\u2018\u2019]"
_QUOTES: Final = Remedy("", _TYPOGRAPHIC, "", 'typographic quotes are none, write "')

TOML: Final = (
    _QUOTES,
    Remedy("", r"\r[^\r]", "", "lines end with CR alone, save the file with LF"),
    Remedy("^Cannot", r"^\s*\[{1,2}\s*apps\s*\]", "", "each app begins with [[apps]]"),
    Remedy("^Cannot", "", "", "remove one"),
    Remedy("^Expected '='", r":\s*$", ":", "YAML's name ends in .yaml"),
    Remedy("^Expected '='", "", ":", "write = for :"),
    Remedy("^Expected '='", "", r"[\w-]", "a key has no blanks"),
    Remedy("^Expected '='", "", r"\s*$", "a line is KEY = VALUE"),
    Remedy("^Unescaped", "", "", r"single quotes leave it as it is: 'C:\path'"),
    Remedy(r"^Illegal character '\\n'", "", "", "the quote is never closed"),
    Remedy("^Unclosed array", "", "", "a comma stands between two values"),
    Remedy("^Invalid statement", "", "[;/]", "comments begin with #"),
    Remedy("key part", "", r"\s*\}", "no comma before the }"),
    Remedy("key part", r"\{[^}]*$", "", "a table in braces stands on one line, a longer one is a [table]"),
    Remedy("^Invalid value", "", r"(?i:true|yes|on)\b", "write true"),
    Remedy("^Invalid value", "", r"(?i:false|no|off)\b", "write false"),
    Remedy("^Invalid value", "", r"(?i:null|none|nil|undefined)\b", "leave the key out"),
    Remedy("^Invalid value", "", r"[\w./$~@*-]", "text needs quotes"),
    Remedy("^Expected newline", "", ",", "a line ends without a comma"),
    Remedy("^Expected newline", r"=\s*0\d", "", "a number begins with no 0, text needs quotes"),
    Remedy("^Expected newline", r"=\s*[\w.]", "", "text, and a number with a unit, needs quotes"),
)
_TYPES: Final = (
    r"(?m)(?:^|\")\s*(export\s+)?(declare\s|interface\s+\w+|type\s+\w+[^=]*=|(const\s+)?enum\s+\w+)|(?:^|\")\s*import\s+type\s"
    r"|\b(const|let|var)\s+\w+\s*:|\)\s*:\s*[\w<>\[\]| ]+\s*(\{|=>)|\(\s*\w+\??\s*:"
    r"|\b(as|satisfies)\s+(const|any|unknown|[A-Z]\w*)\b|\bdefault\s*<\w+>"
)
"""What only TypeScript has."""
JAVASCRIPT: Final = (
    Remedy("SyntaxError", _TYPOGRAPHIC, "", _QUOTES.advice),
    Remedy("private name", r"\"\s*#", "", "a comment begins with //"),
    Remedy("RangeError", "", "", "it is nested too deeply, or a function calls itself without an end"),
    Remedy("SyntaxError", _TYPES, "", "this is TypeScript, whose name ends in .ts"),
    Remedy(r"\bmodules is not defined", "", "", "it is called module.exports"),
    Remedy(
        "cannot set property", r"\bmodule\.export\.", "", "module.export is written with an s: module.exports"
    ),
    Remedy(r"\bTrue is not defined", "", "", "write true"),
    Remedy(r"\bFalse is not defined", "", "", "write false"),
    Remedy(r"\bNone is not defined", "", "", "write null"),
    *(
        Remedy(rf"\b{name} is not defined", "", "", f"add: const {name} = require('{name}')")
        for name in ("path", "fs", "os", "url", "util", "crypto")
    ),
    Remedy(
        r"Cannot find module '[./]",
        "",
        "",
        "the file is not there (names are relative to the file that requires them)",
    ),
)
NOTHING_EXPORTED: Final = (
    Remedy("", r"\bmodule\.export\s*=", "", "module.export is written with an s: module.exports"),
    Remedy("", r"(?m)^\s*exports\s*=", "", "exports = has no effect, write module.exports ="),
    Remedy("", r"\A(?![\s\S]*\bexports?\b)", "", "it exports nothing, write module.exports ="),
)
"""For the text of a whole file."""

YAML: Final = (
    ("single document", "holds more than one document (---); an ecosystem is one"),
    (r"'\\t'", "a tab where YAML wants spaces"),
    (
        "mapping values are not allowed",
        'a key where none can stand: is the line above indented like it, or does a text hold ": "?',
    ),
    ("sequence entries are not", "a list begins on a line of its own, or stands in brackets: [a, b]"),
    ("scanning an alias", "text that begins with * needs quotes"),
    (r"character '(.)' that cannot start", r"text that begins with \1 needs quotes"),
    (
        "(found undefined alias '.*?')",
        r"\1: nothing has that &anchor; text that begins with * needs quotes",
    ),
)
"""What PyYAML says, and the same in words for people."""
YAML_OPENED: Final = (
    ("could not find expected ':'", 'a key without ": " (a colon and a blank) behind it'),
    ("unexpected end of stream", "a quote that is never closed"),
    ("but got '<stream end>'", "a bracket that is never closed"),
)
"""The same where the mistake is at the place that PyYAML calls the context."""


def way_out(remedies: Sequence[Remedy], message: str, row: str, column: int = 1) -> str:
    """`; ADVICE` of the first that fits an error at a column (from 1) of a row; empty if none does."""
    rest = row[column - 1 :]
    for remedy in remedies:
        if re.search(remedy.message, message) and re.search(remedy.row, row) and re.match(remedy.rest, rest):
            return f"; {remedy.advice}"
    return ""


def in_other_words(message: str, table: Sequence[tuple[str, str]]) -> str | None:
    """What a table has for a message, with what the message names."""
    for pattern, words in table:
        if found := re.search(pattern, message):
            return found.expand(words)
    return None
