"""Variables for people's eyes: names always, values only where nothing about them looks like a secret."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

MASK: Final = "***"
_SECRET_NAME: Final = re.compile(
    r"pass|pwd|secret|token|key|cred|auth|salt|dsn|private|cookie|session|jwt|signature|cert|license|webhook",
    re.IGNORECASE,
)
_PUBLIC_NAME: Final = re.compile(
    r"(^|_)(path|home|shell|lang|lc_\w+|version|hostname|tz|term|(old)?pwd)$", re.IGNORECASE
)
_USER_IN_URL: Final = re.compile(r"(://)[^\s/@]+@")
_IN_QUERY: Final = re.compile(r"([?&;])([\w.\[\]-]+)=([^&;#\s\"']+)")
_RANDOM: Final = re.compile(r"(?=[A-Za-z0-9+/=_-]*\d)(?=[A-Za-z0-9+/=_-]*[A-Za-z])[A-Za-z0-9+/=_-]{20,}")
_SETTING: Final = re.compile(r"^(-{0,2}\w[\w.-]*)=(.*)$", re.DOTALL)
"""`--password=x` and `PASSWORD=x`."""


def is_secret(name: str) -> bool:
    """Whether a value of this name is nobody's business."""
    return bool(_SECRET_NAME.search(name)) and not _PUBLIC_NAME.search(name)


def mask_urls(text: str) -> str:
    """Text without user names, passwords and secret parameters in URLs."""

    def parameter(found: re.Match[str]) -> str:
        return f"{found[1]}{found[2]}={MASK if is_secret(found[2]) else found[3]}"

    return _IN_QUERY.sub(parameter, _USER_IN_URL.sub(rf"\1{MASK}@", text))


def mask_text(text: str) -> str:
    """The same, and without words that look random."""
    return "".join(_mask_word(word) for word in re.split(r"([:,;\s?&=]+)", mask_urls(text)))


def _mask_word(word: str) -> str:
    """A path is taken apart, because a token may be a segment of it."""
    if word.startswith(("/", "./")):
        return "/".join(MASK if _RANDOM.fullmatch(segment) else segment for segment in word.split("/"))
    return MASK if _RANDOM.fullmatch(word) else word


def mask_value(name: str, value: str, rest: Callable[[str], str] = mask_text) -> str:
    """The mask if the name says that the value is a secret, else what `rest` leaves of it."""
    if _PUBLIC_NAME.search(name):
        return value
    if _SECRET_NAME.search(name):
        return MASK if value else ""
    return rest(value)


def mask(env: Mapping[str, str], secrets: Collection[str] = ()) -> dict[str, str]:
    """Every variable, sorted by name; `secrets` names those that came from files and are never shown."""
    return {name: MASK if name in secrets else mask_value(name, env[name]) for name in sorted(env)}


def mask_args(args: Sequence[str], rest: Callable[[str], str] = mask_text) -> list[str]:
    """A command line without values of options and variables that are called like secrets."""
    shown: list[str] = []
    hide_next = False
    for arg in args:
        setting = _SETTING.match(arg)
        if hide_next and not arg.startswith("-"):
            shown.append(MASK)
        elif setting is not None:
            shown.append(f"{setting[1]}={mask_value(setting[1], setting[2], rest)}")
        elif " " in arg:  # a command line in a word, for a shell
            shown.append(" ".join(mask_args(arg.split(" "), rest)))
        else:
            shown.append(rest(arg))
        hide_next = arg.startswith("-") and setting is None and bool(_SECRET_NAME.search(arg))
    return shown
