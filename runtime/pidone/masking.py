"""What nobody may see: one list of names, patterns and habits, for every output.

Variables, command lines, URLs, headers and JSON, in `env`, `check`, `describe`, events and messages. When in
doubt a value is hidden: a name too many costs a look into the file, one too few a password.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

MASK: Final = "***"
SENSITIVE: Final = (
    r"pass|pwd|(?<![a-z])pw(?![a-z])|secret|token|key|cred|auth(?!or(?!i))|salt|dsn|private|cookie|session|jwt"
    r"|signature|cert|license|webhook|bearer|csrf|xsrf|nonce|(?<![a-z])(?:pat|sas|pin|otp)(?![a-z])"
    r"|(?-i:(?<=[a-z])P[Ww](?![a-z]))"
)
"""A name that holds one of these, in any case, names a secret."""
# Patterns are compiled where they are first used: most starts need none of them.
_SECRET_NAME: Final = rf"(?i){SENSITIVE}"
_PUBLIC_NAME: Final = r"(?i)(^|_)(path|home|shell|lang|lc_\w+|version|hostname|tz|term)$|^(?-i:(OLD)?PWD)$"
IN_URL: Final = r"(://)(?:[^\s/@:]+|[^\s/@:]*:[^\s\"'<>]*)@"
"""User and password, which may hold anything but blanks and quotes: a `/`, an `@`."""
_PRIVATE_KEY: Final = r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|\Z)"
_BEARER: Final = r"(?i)\b(bearer)\s+[\w.~+/=-]{6,}"
_SIGNED: Final = r"([?&]sig=)[^\s&\"']+"
"""Of an URL that is a secret because it is signed (Azure)."""
_NAME: Final = r"""(?<![\w.-])((?:\\{0,8}["'])?)([\w.\[\]-]{1,100})\1\s*(?:[:=]>?|%3[AaDd])\s*(?!//)"""
_ESCAPED: Final = r"""(\\{1,8}["']).*?(?:\1|\Z)"""
"""A text of JSON within a text of JSON."""
_QUOTED: Final = r"""(?:"(?:\\.|[^"\\])*"?|'(?:\\.|[^'\\])*'?)"""
_WORD: Final = r"""(?:(?:bearer|basic|digest|token)\s+)?[^\s,;&"'}\]#]+"""
_VALUE: Final = rf"(?i){_ESCAPED}|{_QUOTED}|{_WORD}"
"""`password=x`, `"password": "x"`, `Authorization: Bearer x`, `?token=x`."""
_RANDOM: Final = r"(?=[A-Za-z0-9+/=_-]*\d)(?=[A-Za-z0-9+/=_-]*[A-Za-z])[A-Za-z0-9+/=_-]{20,}"
_SETTING: Final = r"(?s)^(-{0,2}\w[\w.-]*)=(.*)$"
"""`--password=x` and `PASSWORD=x`."""
_LOGIN_OPTIONS: Final = frozenset({"-u", "--user", "--proxy-user", "-U"})
"""Followed by `user:password`, as of curl."""
_PASSWORD_OPTIONS: Final = {
    "sshpass": "-p",
    "redis-cli": "-a",
    "ldapsearch": "-w",
    "smbclient": "-U",
    "curl": "-b",
    "sqlcmd": "-P",
    "mosquitto_pub": "-P",
    "mosquitto_sub": "-P",
    **dict.fromkeys(("mongo", "mongosh", "mongodump", "mongorestore", "mongoexport", "mongoimport"), "-p"),
    "login": "-p",  # of docker, podman, az and others
}
"""Programs and their commands whose option for a password does not say so."""
_JOINED: Final = r"mysql|mariadb"
"""Programs whose password follows `-p` without a blank."""


def is_secret(name: str) -> bool:
    """Whether a value of this name is nobody's business."""
    return bool(re.search(_SECRET_NAME, name)) and not re.search(_PUBLIC_NAME, name)


def mask_named(text: str) -> str:
    """Text without what it calls a secret itself: logins in URLs, parameters, headers, members of JSON."""
    text = re.sub(IN_URL, rf"\1{MASK}@", text)
    text = re.sub(_PRIVATE_KEY, MASK, text)
    text = re.sub(_SIGNED, rf"\1{MASK}", text)
    names, values = re.compile(_NAME), re.compile(_VALUE)
    parts: list[str] = []
    done = at = 0
    while name := names.search(text, at):
        at = name.end()
        if not is_secret(name[2]):  # its value may have names inside: `127.0.0.1:80/?token=x`
            continue
        if text[at : at + 1] in ("[", "{"):
            parts += text[done:at], MASK
            done = at = _end_of_nested(text, at)
        elif value := values.match(text, at):
            own = value[1] or (value[0][0] if value[0][0] in "\"'" else "")
            parts += text[done:at], own, MASK, own
            done = at = value.end()
    return re.sub(_BEARER, rf"\1 {MASK}", "".join((*parts, text[done:])))


def _end_of_nested(text: str, start: int) -> int:
    """Behind the list or table of JSON that begins there; the end of the text if it does not end."""
    depth = 0
    for token in re.compile(rf"[\[{{]|[\]}}]|{_QUOTED}").finditer(text, start):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth == 0:
            return token.end()
    return len(text)


def mask_text(text: str) -> str:
    """The same, and without words that look random."""
    return "".join(_mask_word(word) for word in re.split(r"([:,;\s?&=]+)", mask_named(text)))


def _mask_word(word: str) -> str:
    """A path is taken apart, because a token may be a segment of it."""
    if word.startswith(("/", "./")):
        return "/".join(MASK if re.fullmatch(_RANDOM, segment) else segment for segment in word.split("/"))
    return MASK if re.fullmatch(_RANDOM, word) else word


def mask_value(name: str, value: str, rest: Callable[[str], str] = mask_text) -> str:
    """The mask if the name says that the value is a secret, else what `rest` leaves of it."""
    if re.search(_PUBLIC_NAME, name):
        return value
    if re.search(_SECRET_NAME, name):
        return MASK if value else ""
    return rest(value)


def mask(env: Mapping[str, str], secrets: Collection[str] = ()) -> dict[str, str]:
    """Every variable, sorted by name; `secrets` names those that came from files and are never shown."""
    return {name: MASK if name in secrets else mask_value(name, env[name]) for name in sorted(env)}


def mask_args(args: Sequence[str], rest: Callable[[str], str] = mask_text) -> list[str]:
    """A command line without passwords: of options, variables, headers, logins, and of some programs."""
    shown: list[str] = []
    previous, program = "", ""
    for arg in args:
        shown.append(_mask_arg(arg, previous, program, rest))
        if "/" in arg or not arg.startswith("-"):
            word = arg.rpartition("/")[2]
            program = word if word in _PASSWORD_OPTIONS or re.match(_JOINED, word) else program
        previous = arg
    return shown


def _mask_arg(arg: str, previous: str, program: str, rest: Callable[[str], str]) -> str:
    setting = re.match(_SETTING, arg)
    if not arg.startswith("-") and _hides_next(previous, program):
        return MASK
    if previous in _LOGIN_OPTIONS and ":" in arg:
        return arg.partition(":")[0] + ":" + MASK
    if masked := _joined(arg, program):
        return masked
    if setting is not None and " " not in setting[1]:
        return f"{setting[1]}={mask_value(setting[1], setting[2], rest)}"
    if " " in arg and ":" not in arg.split(" ", maxsplit=1)[0]:  # a command line in a word, for a shell
        return " ".join(mask_args(mask_named(arg).split(" "), rest))
    return rest(arg)


def _joined(arg: str, program: str) -> str:
    """A secret that follows an option without a blank, masked; else nothing."""
    if re.match(_JOINED, program) and arg.startswith("-p") and len(arg) > 2:
        return f"-p{MASK}"
    if program == "curl" and arg.startswith("-u") and ":" in arg:
        return f"{arg.partition(':')[0]}:{MASK}"
    return ""


def _hides_next(option: str, program: str) -> bool:
    if not option.startswith("-") or "=" in option:
        return False
    return bool(re.search(_SECRET_NAME, option)) or _PASSWORD_OPTIONS.get(program) == option
