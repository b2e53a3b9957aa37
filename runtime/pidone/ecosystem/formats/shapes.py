"""Finds the apps in whatever shape a file has: `{apps: [...]}`, a list, one app, a mapping, `pm2:`."""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from pidone.ecosystem.document import KeyPath
from pidone.ecosystem.formats.plain import spell
from pidone.ecosystem.formats.secrets import printable
from pidone.errors import ConfigError
from pidone.record import Record

_TOP_KEYS: Final = frozenset(
    {"apps", "pm2", "deploy", "static", "runtime", "smoke", "alerts", "include", "$schema"}
)
_EXAMPLE: Final = "{script: 'server.js'}"
_SKIPPED: Final = (None, False, "", 0)
"""What `condition && {...}` leaves in a list when the condition is false."""


_At: TypeAlias = Callable[[KeyPath], str]
"""The file and the line, as a message begins."""


class FileContents(Record, kw_only=True):
    """The apps, where each stood in the file, and everything beside them."""

    apps: tuple[Mapping[str, object], ...]
    origins: tuple[KeyPath, ...]
    top: Mapping[str, object]
    notices: tuple[str, ...] = ()


def shape(value: object, name: str, line_of: Callable[[KeyPath], int | None]) -> FileContents:
    """Normalise the value of the file `name`, in which `line_of` tells where what it holds stands.

    Raises:
        ConfigError: there is nothing in it that could be an app; one line for each wrong entry.
    """

    def at(path: KeyPath) -> str:
        line = line_of(path)
        return f"{name}:{line}" if line else name

    if isinstance(value, list):
        return _from_list(value, (), {}, at)
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"{name}: holds {describe(value)}; an ecosystem is an object with apps: [{_EXAMPLE}]"
        )
    key = next((key for key in ("apps", "pm2") if value.get(key) not in _SKIPPED), None)
    if key is None:
        key = next((key for key in ("apps", "pm2") if key in value), None)
    if key is None:
        return _without_apps(value, name)
    top = {name: item for name, item in value.items() if name not in ("apps", "pm2")}
    return _from_apps(value[key], (key,), top, at)


def _without_apps(value: Mapping[str, object], name: str) -> FileContents:
    top = {key: item for key, item in value.items() if key in _TOP_KEYS}
    app = {key: item for key, item in value.items() if key not in _TOP_KEYS}
    if not app and not top:
        raise ConfigError(f"{name}: is empty; an ecosystem is an object with apps: [{_EXAMPLE}]")
    return FileContents(apps=(app,) if app else (), origins=((),) if app else (), top=top)


def _from_apps(apps: object, path: KeyPath, top: Mapping[str, object], at: _At) -> FileContents:
    if isinstance(apps, list):
        return _from_list(apps, path, top, at)
    if isinstance(apps, Mapping):
        return _from_mapping(apps, path, top)
    if apps in _SKIPPED:
        return FileContents(apps=(), origins=(), top=top)
    raise ConfigError(
        f"{at(path)}: {spell(path)} is {describe(apps)}; it must be a list of apps such as [{_EXAMPLE}]"
    )


def _from_mapping(apps: Mapping[str, object], path: KeyPath, top: Mapping[str, object]) -> FileContents:
    """One app as PM2 has it; or, if every value is an object, apps by their names."""
    by_name = {key: app for key, app in apps.items() if isinstance(app, Mapping)}
    if not apps:
        return FileContents(apps=(), origins=(), top=top)
    if "script" in apps or len(by_name) < len(apps) or set(apps) <= {"env"}:
        return FileContents(apps=(apps,), origins=(path,), top=top)
    return FileContents(
        apps=tuple({"name": key, **app} for key, app in by_name.items()),
        origins=tuple((*path, key) for key in by_name),
        top=top,
    )


def _from_list(entries: list[object], path: KeyPath, top: Mapping[str, object], at: _At) -> FileContents:
    apps: list[Mapping[str, object]] = []
    origins: list[KeyPath] = []
    problems: list[str] = []
    notices: list[str] = []
    for index, entry in enumerate(entries):
        where = spell((*(path or ("apps",)), index))
        if isinstance(entry, Mapping):
            apps.append(entry)
            origins.append((*path, index))
        elif entry in _SKIPPED:
            notices.append(f"{at((*path, index))}: {where} is {describe(entry)}; ignored")
        else:
            text = f"{where} is {describe(entry)}; an app is an object such as {_EXAMPLE}"
            problems.append(f"{at((*path, index))}: {text}")
    if problems:
        raise ConfigError("\n".join(problems))
    return FileContents(apps=tuple(apps), origins=tuple(origins), top=top, notices=tuple(notices))


def describe(value: object) -> str:
    """A value in a message: short and in the words of configuration files."""
    if value is None:
        return "empty (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'the text "{printable(value[:60])}"' if value else "an empty text"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    return "a list" if isinstance(value, list) else "an object"
