"""What PM2 makes of values that our own kinds would refuse or read otherwise, for files in its languages.

Nothing that PM2 starts is refused: what it ignores is named and left out. Measured with pm2 7.0.4.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from pidone.ecosystem.document import Document
from pidone.ecosystem.entries import Entry
from pidone.ecosystem.keys import APP_KEYS, OURS_AT_THE_TOP
from pidone.ecosystem.problems import Scope, shown
from pidone.ecosystem.values import Invalid
from pidone.ecosystem.values.tables import HOOK_NAMES

_WORD: Final = r"""[^\s"'=]+="[^"]*"|[^\s"'=]+='[^']*'|"[^"]*"|'[^']*'|\S+"""
_COUNTED_BY_STATIC: Final = "PM2_SERVE_PORT"
"""Of `serve`, which has a port to count from."""
_SPLIT: Final = ("args", "interpreter_args", "ignore_watch")
_NUMERIC: Final = r"\s*[+-]?([0-9.]+|max)[0-9,]*\s*"


def split(text: str) -> list[str]:
    """As PM2 splits a text: quotes around a word go, quotes inside of one stay."""
    words = [word[1:-1] if _is_quoted(word) else word for word in re.findall(_WORD, text)]
    return [word for word in words if word.strip()]


def _is_quoted(word: str) -> bool:
    return len(word) > 1 and word[0] == word[-1] and word[0] in "\"'"


def entries_as_pm2(known: Mapping[str, Entry], scope: Scope, *, only_pm2s: bool) -> dict[str, Entry]:
    """The entries that count; `only_pm2s` leaves out keys that PM2 itself does not know."""
    result: dict[str, Entry] = {}
    unknown: list[str] = []
    for name, entry in known.items():
        if entry.value is None:
            continue
        if only_pm2s and APP_KEYS[name].ours:
            unknown.append(entry.spelling)
        elif (kept := _entry(name, entry, scope)) is not None:
            result[name] = kept
    if unknown:
        scope.notice(_ignored(unknown), unknown[0])
    return result


def without_our_tables(document: Document) -> Document:
    """A file of PM2's as PM2 sees it: what stands beside the apps and is ours means nothing."""
    ours = [name for name in OURS_AT_THE_TOP if name in document.top]
    if not ours or not document.is_pm2s:
        return document
    top = {name: value for name, value in document.top.items() if name not in ours}
    notice = f"{document.name}: {_ignored(ours)}"
    return document.but(top=top, notices=(*document.notices, notice))


def _ignored(words: Sequence[str]) -> str:
    return (
        f"PM2 does not know {', '.join(words)}, so nothing comes of it under this name; "
        "started as `pidone FILE` it counts"
    )


def _entry(name: str, entry: Entry, scope: Scope) -> Entry | None:
    value = entry.value
    if name == "log_file" and value is True:
        scope.warn("log_file = true: there is no default folder for log files; name a path", entry.spelling)
        return None
    if isinstance(value, str):
        value = _text(name, entry, value, scope)
    if name in _SPLIT and isinstance(value, list | tuple):
        if None in value:
            scope.warn(f'{name}[{value.index(None)}] = null: becomes the text "null", as under PM2', name)
        value = [_as_javascript(word) for word in value]
    if name == "env":
        if isinstance(value, Mapping) and (nulls := [key for key, each in value.items() if each is None]):
            scope.warn(f'{nulls[0]} = null: becomes the text "null", as under PM2', entry.spelling, nulls[0])
        value = with_nulls(value)
    return Entry(entry.spelling, value) if _is_wanted(name, value, entry, scope) else None


def _as_javascript(word: object) -> object:
    """A plain value as the text that JavaScript makes of it."""
    if word is None:
        return "null"
    return str(word).lower() if isinstance(word, bool) else word


def _text(name: str, entry: Entry, value: str, scope: Scope) -> object:
    if name in _SPLIT:
        return split(value)
    if name == "instances" and not re.fullmatch(_NUMERIC, value.lower()):
        scope.warn(f"instances = {shown(value)}: PM2 takes any text for all CPUs; write max", entry.spelling)
        return "max"
    return value


def _is_wanted(name: str, value: object, entry: Entry, scope: Scope) -> bool:
    """Whether PM2 would make anything of it; what is simply wrong is told later."""
    try:
        APP_KEYS[name].kind.parse(value)
    except Invalid as invalid:
        if value == "":
            scope.warn(f'{entry.spelling} = "": taken as not set, as PM2 does', entry.spelling)
            return False
        if name == "log_type":
            ignored = f"{entry.spelling} = {shown(value)}: ignored, as PM2 does: only json is one"
            scope.warn(ignored, entry.spelling)
            return False
        if _is_accidental(name, entry):  # nobody meant our key: PM2 knows none of that name
            expected = invalid.expected or invalid.findings[0].expected
            scope.warn(
                f"{entry.spelling}: ignored, as PM2 does; as a key of pidone's it is wrong: {expected}",
                entry.spelling,
            )
            return False
    return True


def with_nulls(value: object) -> object:
    """`env` of PM2's files: null becomes the text that Node makes of it."""
    if not isinstance(value, Mapping):
        return value
    return {name: "null" if content is None else content for name, content in value.items()}


def unset_by(variables: object) -> frozenset[str]:
    """Those that are null in an `env_NAME`, which takes them out of `env`."""
    items = variables.items() if isinstance(variables, Mapping) else ()
    return frozenset(name for name, content in items if content is None)


def first_of(name: str, text: str | None, scope: Scope) -> dict[str, str]:
    """What `increment_var` begins with, where its variable is none or no number: PM2 counts from 0 then."""
    if name == _COUNTED_BY_STATIC or (text is not None and text.isascii() and text.isdigit()):
        return {}
    what = "is not set" if text is None else f"is {shown(text)}, which is no number"
    scope.warn(f"increment_var: {name} {what}; it counts from 0, as under PM2", "increment_var")
    return {name: "0"}


def _is_accidental(name: str, entry: Entry) -> bool:
    return (
        entry.spelling == "group" or (name == "ready" and isinstance(entry.value, bool)) or name in HOOK_NAMES
    )
