"""What a kind of value is, what can be wrong with a value, and how the plainest ones are read.

Strings are read as generously as PM2 reads them, and a little more.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from pidone.ecosystem.document import KeyPath

T = TypeVar("T")


class WrongValue(NamedTuple):
    """One thing wrong inside a value: where (from that value), what stands there, what would be right."""

    path: KeyPath
    value: object
    expected: str


class Invalid(ValueError):  # noqa: N818  # it is caught where it becomes a ConfigError's line
    """A value is not of its kind. Without findings the value as a whole is meant."""

    def __init__(self, expected: str = "", findings: Iterable[WrongValue] = ()) -> None:
        super().__init__(expected)
        self.expected = expected
        self.findings = tuple(findings)


def _no_advice(value: object) -> str | None:
    del value
    return None


class ValueKind(NamedTuple):
    """One kind of value."""

    name: str
    """As the reference page calls it."""
    parse: Callable[[object], Any]
    schema: Mapping[str, object]
    """The JSON Schema of what may be written."""
    advise: Callable[[object], str | None] = _no_advice
    """What to warn of although the value is good."""
    write: Callable[[Any], object] | None = None
    """The resolved value in its most readable form; None where what was written is as readable."""


NUMBER: Final = r"[+-]?([0-9]{1,20}(\.[0-9]{1,20})?|\.[0-9]{1,20}),*"
"""As PM2 takes it, in the dialect that editors share with us."""
_BEYOND: Final = 2**63
_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})


def number(value: object, expected: str = "expected a number") -> float:
    """A finite number, or text that holds one, as PM2 takes it (YAML's `instances: 4,` included)."""
    if isinstance(value, str):
        text = value.strip()
        if not re.fullmatch(NUMBER, text):
            raise Invalid(expected)
        text = text.rstrip(",")
        return float(text) if "." in text else int(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Invalid(expected)
    if not math.isfinite(value) if isinstance(value, float) else abs(value) >= _BEYOND:
        raise Invalid(expected)
    return value


def parse_bool(value: object) -> bool:
    """A boolean, 0 or 1, or a word for one."""
    word = str(value).strip().lower() if isinstance(value, str | bool) or value in (0, 1) else ""
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise Invalid("expected true or false")


def advise_bool(value: object) -> str | None:
    """Words that only we take for a boolean. "true" and "false" are what `${VAR}` can say at best."""
    word = value.strip().lower() if isinstance(value, str) else ""
    if word in ("true", "false") or word not in _TRUE | _FALSE:
        return None
    return f"counts as {str(word in _TRUE).lower()}; write {str(word in _TRUE).lower()}, without quotes"


def parse_string(value: object) -> str:
    """Text; a number is taken as it is written."""
    if isinstance(value, str):
        if "\0" in value:
            raise Invalid("expected text without NUL characters")
        try:
            value.encode()
        except UnicodeEncodeError:  # half of a surrogate pair, which JSON can write
            raise Invalid("expected text that can be encoded as UTF-8") from None
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Invalid("expected text")
    return scalar_text(value)


def parse_optional_string(value: object) -> str | None:
    """Text; `false` and the empty string switch it off."""
    if value is False or value == "":
        return None
    return parse_string(value)


def scalar_text(value: str | float) -> str:
    """A scalar as JavaScript's String() makes it, which is what ends in an environment or a command line."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if abs(value) < 1e21:
        return str(int(value)) if value == int(value) else repr(value)
    if abs(value) < 1e308:  # Python's digits from here on; more of them str() refuses
        return repr(value)
    return "Infinity" if value > 0 else "-Infinity" if value < 0 else "NaN"


def parse_list(value: object, expected: str, item: Callable[[object], Any]) -> tuple[Any, ...]:
    """Every element, read by `item`; everything wrong in them is found."""
    if not isinstance(value, list | tuple):
        raise Invalid(expected)
    return tuple(each(enumerate(value), lambda _, element: item(element)))


def each(members: Iterable[tuple[Any, Any]], read: Callable[[Any, Any], T]) -> list[T]:
    """What `read` makes of every key and value; everything wrong in them is found. Raises Invalid."""
    results: list[T] = []
    wrong: list[WrongValue] = []
    for key, value in members:
        try:
            results.append(read(key, value))
        except Invalid as invalid:
            inner = invalid.findings or [WrongValue((), value, invalid.expected)]
            wrong += [finding._replace(path=(key, *finding.path)) for finding in inner]
    if wrong:
        raise Invalid(findings=wrong)
    return results


def split_words(text: str) -> tuple[str, ...]:
    r"""Split a command line on blanks, honouring quotes as a shell user expects and nothing else.

    A quote opens at the start of a word or right after `=`, so `--x='a b'` is one word without its quotes and
    `{"a":1}` stays what it is. Inside quotes a backslash keeps the next quote or backslash; elsewhere it is
    an ordinary character. A quote that is never closed is an ordinary character as well (`don't`).
    """
    words: list[str] = []
    word: list[str] = []
    started = False
    position = 0
    while position < len(text):
        char = text[position]
        if char in "'\"" and (not started or (word and word[-1] == "=")):
            quoted = _quoted(text, position)
            if quoted is not None:
                content, position = quoted
                word.append(content)
                started = True
                continue
        if char.isspace():
            if started:
                words.append("".join(word))
            word, started = [], False
        else:
            word.append(char)
            started = True
        position += 1
    if started:
        words.append("".join(word))
    return tuple(words)


def _quoted(text: str, start: int) -> tuple[str, int] | None:
    """What the quotes that open at `start` hold, and the position after them; None if they never close."""
    quote = text[start]
    content: list[str] = []
    position = start + 1
    while position < len(text):
        char = text[position]
        if char == quote:
            return "".join(content), position + 1
        if char == "\\" and position + 1 < len(text) and text[position + 1] in (quote, "\\"):
            position += 1
            char = text[position]
        content.append(char)
        position += 1
    return None


def parse_words(value: object) -> tuple[str, ...]:
    """A list of words, or one string that is split like a command line."""
    if value is False:
        return ()
    if isinstance(value, str):
        parse_string(value)
        return split_words(value)
    return parse_list(value, "expected a list of texts or one text", parse_string)


def parse_names(value: object) -> tuple[str, ...]:
    """A list of texts, or one text (not split)."""
    if value is False or value == "":
        return ()
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return (parse_string(value),)
    return parse_list(value, "expected a text or a list of texts", parse_string)
