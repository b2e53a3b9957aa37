"""Variables for people's eyes: names always, values only where nothing about them looks like a secret."""

import re
from collections.abc import Collection, Mapping
from typing import Final

MASK: Final = "***"
_SECRET_NAME: Final = re.compile(
    r"pass|pwd|secret|token|key|cred|auth|salt|dsn|private|cookie|session|jwt|signature|cert|license|webhook",
    re.IGNORECASE,
)
_PUBLIC_NAME: Final = re.compile(
    r"(^|_)(path|home|shell|lang|lc_\w+|version|hostname|tz|term|pwd)$", re.IGNORECASE
)
_USER_IN_URL: Final = re.compile(r"(://)[^\s/@]+@")
_RANDOM: Final = re.compile(r"(?=[A-Za-z0-9+/=_-]*\d)(?=[A-Za-z0-9+/=_-]*[A-Za-z])[A-Za-z0-9+/=_-]{20,}")
_OPTION: Final = re.compile(r"^(--?[\w-]+)=(.*)$", re.DOTALL)


def mask(env: Mapping[str, str], secrets: Collection[str] = ()) -> dict[str, str]:
    """Every variable, sorted by name; `secrets` names those that came from files and are never shown."""
    return {name: MASK if name in secrets else mask_value(name, env[name]) for name in sorted(env)}


def mask_value(name: str, value: str) -> str:
    """The value if it is harmless, with its credentials cut out if it is a URL, else the mask."""
    if _PUBLIC_NAME.search(name):
        return value
    if _SECRET_NAME.search(name):
        return MASK if value else ""
    return mask_text(value)


def mask_text(text: str) -> str:
    """Text without user names and passwords in URLs, and without words that look random."""
    return "".join(
        _mask_word(word) for word in re.split(r"([:,;\s?&=]+)", _USER_IN_URL.sub(rf"\1{MASK}@", text))
    )


def _mask_word(word: str) -> str:
    """A path is taken apart, because a token may be a segment of it."""
    if word.startswith(("/", "./")):
        return "/".join(MASK if _RANDOM.fullmatch(segment) else segment for segment in word.split("/"))
    return MASK if _RANDOM.fullmatch(word) else word


def mask_args(args: tuple[str, ...]) -> list[str]:
    """A command line without values of options that are called like secrets."""
    shown: list[str] = []
    hide_next = False
    for arg in args:
        option = _OPTION.match(arg)
        if hide_next and not arg.startswith("-"):
            shown.append(MASK)
        elif option is not None:
            shown.append(f"{option[1]}={mask_value(option[1], option[2])}")
        else:
            shown.append(mask_text(arg))
        hide_next = arg.startswith("-") and option is None and bool(_SECRET_NAME.search(arg))
    return shown
