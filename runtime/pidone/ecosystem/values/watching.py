"""What counts as a change of a file: patterns, and chokidar's options as PM2's files have them."""

import re
from collections.abc import Mapping
from typing import Any, Final

from pidone.ecosystem.values import (
    Invalid,
    ValueKind,
    each,
    fragments,
    number,
    parse_bool,
    parse_list,
    parse_string,
)
from pidone.ecosystem.values.patterns import SLOW, backtracks

_REGEX: Final = "re:"
_FLAGS: Final = {"i": "(?i)", "s": "(?s)", "m": "(?m)"}
_SETTLED_S: Final = 2.0  # chokidar's stabilityThreshold where awaitWriteFinish is `true`
_POLL_S: Final = 0.1  # chokidar's `interval`
_LONGEST_MS: Final = 3_600_000
_UNDERSTOOD: Final = frozenset({"ignored", "depth", "usePolling", "interval", "awaitWriteFinish"})
_HARMLESS: Final = frozenset(
    {
        "persistent", "ignoreInitial", "ignorePermissionErrors", "alwaysStat", "atomic", "binaryInterval",
        "disableGlobbing", "useFsEvents", "followSymlinks",
    }
)  # fmt: skip
"""Those that say what is the case here anyway, or concern other systems."""


def parse_patterns(value: object) -> tuple[str, ...]:
    """One pattern or a list of them."""
    if value is False or value == "":
        return ()
    if not isinstance(value, list | tuple):
        return (_pattern(value),)
    return parse_list(value, "", _pattern)


def _pattern(value: object) -> str:
    """A glob, or a regular expression: `re:...`, or what the engine makes of JavaScript's /.../."""
    if isinstance(value, Mapping):
        if not isinstance(value.get("regexp"), str):
            raise Invalid("expected a pattern")
        flags = "".join(_FLAGS.get(flag, "") for flag in str(value.get("flags", "")))
        return _checked(f"{_REGEX}{flags}{value['regexp']}")
    return _checked(parse_string(value))


def _checked(pattern: str) -> str:
    bare = pattern.removeprefix("!")
    if bare.startswith(_REGEX):
        try:
            re.compile(bare.removeprefix(_REGEX))
            is_slow = backtracks(bare.removeprefix(_REGEX))
        except (re.error, OverflowError, RecursionError) as error:
            raise Invalid(f"not a regular expression: {error}") from None
        if is_slow:  # the names of files are an app's, as its lines are
            raise Invalid(SLOW)
    return pattern


def _parse_options(value: object) -> dict[str, Any]:
    """Only what has a meaning here, as keys of AppSpec."""
    if not isinstance(value, Mapping):
        raise Invalid("expected a table of chokidar's options")
    asked = ((name, value[name]) for name in _READERS if value.get(name) is not None)
    result: dict[str, Any] = {}
    for keys in each(asked, lambda name, _: _READERS[name](value)):
        result |= keys
    return result


def _read_ignored(options: Mapping[str, Any]) -> dict[str, Any]:
    return {"ignore_watch": parse_patterns(options["ignored"])}


def _read_depth(options: Mapping[str, Any]) -> dict[str, Any]:
    depth = number(options["depth"], "expected a number of folders")
    if depth != int(depth) or not 0 <= depth < 10_000:
        raise Invalid("expected a number of folders")
    return {"watch_depth": int(depth)}


def _read_polling(options: Mapping[str, Any]) -> dict[str, Any]:
    if not parse_bool(options["usePolling"]):
        return {}
    interval = options.get("interval")
    return {"watch_polling": _POLL_S if interval is None else max(0.01, _milliseconds(interval))}


def _read_settling(options: Mapping[str, Any]) -> dict[str, Any]:
    settling = options["awaitWriteFinish"]
    if isinstance(settling, Mapping):
        threshold = settling.get("stabilityThreshold")
        return {"watch_delay": _SETTLED_S if threshold is None else _milliseconds(threshold)}
    return {"watch_delay": _SETTLED_S} if parse_bool(settling) else {}


def _milliseconds(value: object) -> float:
    wanted = "expected milliseconds"
    found = number(value, wanted)
    if not 0 <= found <= _LONGEST_MS:
        raise Invalid(wanted)
    return found / 1000


_READERS: Final = {
    "ignored": _read_ignored,
    "depth": _read_depth,
    "usePolling": _read_polling,
    "awaitWriteFinish": _read_settling,
}


def _advise_options(value: object) -> str | None:
    if not isinstance(value, Mapping):
        return None
    unused = sorted(str(name) for name in value if name not in _UNDERSTOOD | _HARMLESS)
    return f"without effect here: {', '.join(unused)}" if unused else None


def merged(values: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of `watch_options` together with those that an app has itself."""
    options = values.get("watch_options")
    if not options:
        return {}
    found = dict(options)
    if "ignore_watch" in found:
        found["ignore_watch"] = (*values.get("ignore_watch", ()), *found["ignore_watch"])
    if "watch_delay" in found:
        found["watch_delay"] = max(found["watch_delay"], values.get("watch_delay", 0.0))
    return found


_PATTERN_SCHEMA: Final = fragments.either(fragments.SCALAR, {"type": "object", "required": ["regexp"]})
PATTERNS: Final = ValueKind(
    "pattern or list of patterns",
    parse_patterns,
    fragments.either(fragments.OFF, _PATTERN_SCHEMA, fragments.listed(_PATTERN_SCHEMA)),
    write=list,
)
WATCH_OPTIONS: Final = ValueKind("table", _parse_options, {"type": "object"}, advise=_advise_options)
