"""Keeps the values of variables out of messages and quotes of source lines."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

MASK: Final = "***"
_MIN_SECRET_CHARS: Final = 4
"""Shorter values (`1`, `on`, `80`) would mask half of every message and protect nothing."""

_SECRET_WORD: Final = r"(?:pass|pwd|secret|token|key|cred|auth|salt|dsn|private|cookie|session|jwt)"
_SECRET_NAME: Final = re.compile(_SECRET_WORD, re.IGNORECASE)
_HARMLESS: Final = frozenset(
    [
        "PATH",
        "HOME",
        "PWD",
        "OLDPWD",
        "USER",
        "LOGNAME",
        "SHELL",
        "HOSTNAME",
        "TERM",
        "LANG",
        "LANGUAGE",
        "LC_ALL",
        "TZ",
        "SHLVL",
        "NODE_ENV",
        "NODE_VERSION",
        "YARN_VERSION",
        "PYTHON_VERSION",
        "DEBIAN_FRONTEND",
    ]
)
_ASSIGNMENT: Final = re.compile(
    rf"""
    (?P<key>["']?(?<![\w$])(?:[A-Z][A-Z0-9_]+|\w*{_SECRET_WORD}\w*)["']?\s*[:=]\s*)   # PORT: / "db_password" =
    (?P<value>"(?:\\.|[^"\\])*"? | '(?:\\.|[^'\\])*'? | `(?:\\.|[^`\\])*`? | [^\s,}}\]]+(?:[^,}}\]]*[^\s,}}\]])?)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_UPPER_KEY: Final = re.compile(r"""["']?[A-Z][A-Z0-9_]+["']?\s*[:=]""")
_PASSWORD_IN_URL: Final = re.compile(r"(://[^\s:/@]*:)[^\s@]+@")
_LONG_RANDOM: Final = re.compile(r"[A-Za-z0-9+=_-]{32,}")
_QUOTE_CHARS: Final = 80


def values_of(env: Mapping[str, str]) -> tuple[str, ...]:
    """The values that must not be printed, longest first: secrets by name, and whatever is not plainly public."""
    return secret_values(
        value
        for name, value in env.items()
        if _SECRET_NAME.search(name) or not (name in _HARMLESS or value.startswith(("/", ".")))
    )


def secret_values(values: Iterable[str]) -> tuple[str, ...]:
    """All of the values, if long enough to be told from ordinary words, longest first."""
    return tuple(
        sorted((value for value in set(values) if len(value) >= _MIN_SECRET_CHARS), key=len, reverse=True)
    )


def redact(text: str, values: Iterable[str]) -> str:
    """`text` without any of the values."""
    for value in values:
        text = text.replace(value, MASK)
    return text


def quote(line: str, column: int | None = None) -> str:
    """A source line fit for a message: short, around `column` (from 1), values of variables masked."""
    masked = _ASSIGNMENT.sub(_mask_value, line.strip())
    masked = _PASSWORD_IN_URL.sub(rf"\1{MASK}@", masked)
    masked = _LONG_RANDOM.sub(MASK, masked)
    if len(masked) > _QUOTE_CHARS:
        start = max(0, min((column or 1) - _QUOTE_CHARS // 2, len(masked) - _QUOTE_CHARS))
        masked = ("..." if start else "") + masked[start : start + _QUOTE_CHARS] + "..."
    return masked


def _mask_value(found: re.Match[str]) -> str:
    key = found["key"]
    # IGNORECASE is for the secret words; an ordinary lower-case key (`script:`) keeps its value.
    if not (_UPPER_KEY.match(key) or _SECRET_NAME.search(key)):
        return found[0]
    return key + MASK
