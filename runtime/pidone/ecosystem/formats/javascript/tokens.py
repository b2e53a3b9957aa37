"""JavaScript (and so JSON) cut into tokens: enough to find statements and literals, not to judge them."""

import re
from typing import Final, NamedTuple

_SKIP: Final = re.compile(r"(?:\s|//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/|\ufeff)+")
_TOKEN: Final = re.compile(
    r"""
    (?P<word>[^\x00-\x20!-#%-/:-@\[\]^`{-\x7f]+ | \#[^\x00-\x20!-#%-/:-@\[\]^`{-\x7f]+)
    | (?P<string>"(?:[^"\\\n]|\\.|\\\n|\\\r\n)*" | '(?:[^'\\\n]|\\.|\\\n|\\\r\n)*')
    | (?P<mark>=>|\.\.\.|\?\.|[-+*/%&|^!=<>?]=+|\+\+|--|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_REGEX: Final = re.compile(r"/(?:[^\\/\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/\w*")
_TEMPLATE_PART: Final = re.compile(r"(?:[^`\\$]|\\.|\$(?!\{))*", re.DOTALL)

_BEFORE_REGEX: Final = frozenset(
    [
        *("return", "typeof", "case", "in", "of", "delete", "void", "throw", "new", "else", "do"),
        *("instanceof", "yield", "await", "default"),
    ]
)
"""Words after which a slash begins a regular expression; after any other it divides."""


class Token(NamedTuple):
    """One piece of source."""

    kind: str
    """`word` (also numbers), `string`, `template`, `regex` or `mark`."""
    text: str
    start: int
    end: int
    after_newline: bool
    """Whether a line break stands before it, which may end a statement."""


def tokens(text: str) -> list[Token]:
    """All tokens; a template literal gives its text parts as `template` and its expressions as tokens."""
    found: list[Token] = []
    position, newline = 0, False
    braces: list[bool] = []  # for each open brace, whether it is the ${ of a template
    while position < len(text):
        if skipped := _SKIP.match(text, position):
            newline = "\n" in skipped[0]
            position = skipped.end()
            continue
        kind, end = _next(text, position, found)
        token = Token(kind, text[position:end], position, end, newline)
        newline = False
        if token.text == "{":
            braces.append(False)
        elif token.text == "}" and kind == "mark" and braces and braces.pop():
            kind, end = "template", _template_end(text, position + 1)
            token = Token(kind, text[position:end], position, end, token.after_newline)
        if kind == "template" and token.text.endswith("${"):
            braces.append(True)
        found.append(token)
        position = end
    return found


def _next(text: str, position: int, before: list[Token]) -> tuple[str, int]:
    if text[position] == "`":
        return "template", _template_end(text, position + 1)
    if text[position] == "/" and _may_be_regex(before) and (regex := _REGEX.match(text, position)):
        return "regex", regex.end()
    found = _TOKEN.match(text, position)
    if found is None or found.lastgroup is None:  # the last alternative takes any character
        raise AssertionError(position)
    return found.lastgroup, found.end()


def _template_end(text: str, position: int) -> int:
    """Behind the closing backtick, or behind the `${` of the next expression."""
    part = _TEMPLATE_PART.match(text, position)
    end = part.end() if part else position
    return min(end + (2 if text.startswith("${", end) else 1), len(text))


def _may_be_regex(before: list[Token]) -> bool:
    if not before:
        return True
    last = before[-1]
    if last.kind == "word":
        return last.text in _BEFORE_REGEX
    return last.kind == "mark" and last.text not in (")", "]", "}", "++", "--")
