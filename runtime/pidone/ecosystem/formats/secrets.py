"""Keeps the values of variables out of messages and quotes of source lines."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from pidone.ecosystem.formats.source import Source
from pidone.errors import ConfigError
from pidone.masked_args import mask_args
from pidone.masking import MASK, SENSITIVE, mask_forms, mask_named

_MIN_SECRET_CHARS: Final = 4
"""Shorter values (`1`, `on`, `80`) would mask half of every message and protect nothing."""

# Patterns are compiled where they are first used: a configuration without a mistake needs none of them.
_HARMLESS: Final = frozenset(
    [
        *("PATH", "HOME", "PWD", "OLDPWD", "USER", "LOGNAME", "SHELL", "HOSTNAME", "TERM", "SHLVL", "TZ"),
        *("LANG", "LANGUAGE", "LC_ALL", "NODE_ENV", "NODE_VERSION", "YARN_VERSION", "PYTHON_VERSION"),
    ]
)
_ASSIGNMENT: Final = rf"""(?x)
    (?P<key> ["']? (?<![\w$]) (?: [A-Z][A-Z0-9_]+ | \w*(?i:{SENSITIVE})\w* ) ["']? \s*[:=]\s* )
    (?: "(?:\\.|[^"\\])*"?
      | '(?:\\.|[^'\\])*'? | `(?:\\.|[^`\\])*`? | [^\s,}}\]\[{{"'`](?:[^,}}\]]*[^\s,}}\]])? )
    """
_TOLD: Final = r"""(?ix)
    ( (?: passw\w* | pwd | secret\w* | api_?key | credential\w* ) ["']? \s* [:=] \s*
    | token ["']? \s* = \s* )
    (?: "[^"]*" | '[^']*' | \S+ )
    """
"""In a message only what plainly names a secret: `Unexpected token: x` shall keep its x."""
_LONG_RANDOM: Final = r"[A-Za-z0-9+=_-]{32,}"
_QUOTE_CHARS: Final = 80


def values_of(env: Mapping[str, str]) -> tuple[str, ...]:
    """The values not to be printed, longest first: secrets by name, and what is not plainly public."""
    return secret_values(
        value
        for name, value in env.items()
        if re.search(SENSITIVE, name, re.IGNORECASE)
        or not (name in _HARMLESS or value.startswith(("/", ".")))
    )


def secret_values(values: Iterable[str]) -> tuple[str, ...]:
    """All of the values, if long enough to be told from ordinary words, longest first."""
    return tuple(
        sorted((value for value in set(values) if len(value) >= _MIN_SECRET_CHARS), key=len, reverse=True)
    )


def redact(text: str, values: Iterable[str]) -> str:
    """`text` without any of the values, nor of what it calls a password itself."""
    for value in values:
        text = text.replace(value, MASK)
    return re.sub(_TOLD, rf"\g<1>{MASK}", mask_forms(text))


def printable(text: str) -> str:
    """`text` without control characters, which could forge lines or colours in a log."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "\ufffd" for char in text)


def quote(line: str, column: int | None = None) -> str:
    """A source line fit for a message: short, around `column` (from 1), values of variables masked."""
    masked = re.sub(_ASSIGNMENT, rf"\g<key>{MASK}", printable(line.strip()))
    masked = _mask_words(mask_named(masked))
    masked = re.sub(_LONG_RANDOM, MASK, masked)
    if len(masked) > _QUOTE_CHARS:
        start = max(0, min((column or 1) - _QUOTE_CHARS // 2, len(masked) - _QUOTE_CHARS))
        masked = ("..." if start else "") + masked[start : start + _QUOTE_CHARS] + "..."
    return masked


def _mask_words(line: str) -> str:
    """The line of a file as a command line, whatever quotes, commas and brackets are between its words."""
    pieces = re.split(r"""([\s,"'\[\]]+)""", line)
    pieces[::2] = mask_args(pieces[::2], str)
    return "".join(pieces)


def problem(
    source: Source, message: str, *, line: int | None = None, column: int | None = None
) -> ConfigError:
    """The error to raise; `line` and `column` count from 1."""
    message = printable(message)
    if line is None:
        return ConfigError(f"{source.name}: {message}")
    where = f"{source.name}:{line}" + (f":{column}" if column else "")
    lines = source.text.split("\n")
    text = quote(lines[line - 1], column) if 0 < line <= len(lines) else ""
    return ConfigError(f"{where}: {message}" + (f', at "{text}"' if text else ""))
