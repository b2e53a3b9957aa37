"""A document of any format as plain tables that mean the same: canonical keys, readable values.

What TOML would refuse (keys nobody knows) and what means nothing is left out and told. Values keep their
`${VAR}` where the result may have them; in JavaScript and JSON `${` is text, which TOML writes as `$${`.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from pidone.ecosystem import keys, pm2, static
from pidone.ecosystem.app import TIME_FORMAT
from pidone.ecosystem.document import Document
from pidone.ecosystem.entries import Entry, Sorted, sort_keys
from pidone.ecosystem.load import resolve
from pidone.ecosystem.options import LoadOptions
from pidone.ecosystem.problems import Problems
from pidone.ecosystem.references import UnsetVariableError, escape, expand
from pidone.ecosystem.spec import AppSpec, Ecosystem
from pidone.ecosystem.values import Invalid, ValueKind, tables
from pidone.errors import ConfigError
from pidone.record import EMPTY

_RAW: Final = ("smoke", "alerts", "deploy")
_NO_DOCUMENT: Final = Document(apps=(), top={}, source=None, language="")


class OutputFile(NamedTuple):
    """Where the result will stand."""

    folder: Path
    """Absolute."""
    has_references: bool
    """TOML: `${VAR}` means something, and relative folders start at `folder`."""


class Tables(NamedTuple):
    """What a new file says, and what it leaves out."""

    apps: tuple[Mapping[str, object], ...]
    left_out: tuple[tuple[str, ...], ...] = ()
    """For each app, keys that mean nothing."""
    runtime: Mapping[str, object] = EMPTY
    rest: Mapping[str, object] = EMPTY
    """Other top-level keys."""
    remarks: tuple[str, ...] = ()
    """What a reader of the file should know."""


class Converted(NamedTuple):
    """A document as such tables."""

    tables: Tables
    ecosystem: Ecosystem
    """What the document means, with its warnings."""


def convert(document: Document, options: LoadOptions, target: OutputFile) -> Converted:
    """Convert. Raises ConfigError if the document cannot be used as it is."""
    ecosystem = resolve(document, options)
    values = _Values(document, options, target)
    apps, left_out = [], []
    count = len(document.apps)
    for raw, spec in zip(document.apps, ecosystem.apps[:count], strict=True):
        found = sorted_keys(raw)
        left_out.append((*found.ignored, *found.unknown))
        apps.append(_app(found, spec, values, _cwd(spec, options, target)))
    served = []
    for entry, spec in zip(static.entries(document.top), ecosystem.apps[count:], strict=True):
        assert isinstance(entry, Mapping)  # noqa: S101  # resolve() has refused anything else
        members = {name: values.plain(entry[name]) for name in static.MEMBERS if entry.get(name) is not None}
        found = sorted_keys({name: value for name, value in entry.items() if name not in static.MEMBERS})
        served.append({**members, **_app(found, spec, values, _cwd(spec, options, target))})
    top = document.top
    runtime = top.get("runtime")
    rest = {
        name: values.plain(top[name]) if name != "deploy" else _without_none(top[name])
        for name in _RAW
        if top.get(name) is not None
    }
    converted = Tables(
        apps=tuple(apps),
        left_out=tuple(left_out),
        runtime=_runtime(runtime if isinstance(runtime, Mapping) else {}, values),
        rest={**({"static": served} if served else {}), **rest},
        remarks=tuple(values.remarks),
    )
    return Converted(converted, ecosystem)


def sorted_keys(raw: Mapping[str, object]) -> Sorted:
    """The keys of an app, of which nothing is told that is wrong."""
    return sort_keys({str(name): value for name, value in raw.items()}, Problems(_NO_DOCUMENT, "").top())


def _app(found: Sorted, spec: AppSpec, values: "_Values", cwd: str | None) -> Mapping[str, object]:
    known = found.known
    written = found.known.get("env_file")
    if (
        values.is_pm2s and written and written.value is not None and values.is_strict_next
    ):  # may be missing there
        files = (file._replace(required=False) for file in tables.ENV_FILES.parse(written.value))
        found.known["env_file"] = Entry("env_file", tables.write_env_files((*files,)))
    if values.is_pm2s:
        known = _counting_in_pm2(known, spec, values)
    app = {
        name: values.of(keys.APP_KEYS[name].kind, entry.value)
        for name, entry in known.items()
        if entry.value is not None and name not in ("cwd", "env")
    }
    app |= values.environment(known["env"].value if "env" in known else None, spec)
    for entry in found.sets.values():
        if values.is_strict_next and keys.find(entry.spelling, keys.APP_KEYS):  # there it is that key
            meant = f"the variables of `--env {entry.spelling.removeprefix('env_')}` under PM2"
            values.remarks.append(f"{spec.name}: {entry.spelling}, {meant}, has no form in TOML")
        elif entry.value is not None and (isinstance(entry.value, Mapping) or not values.is_pm2s):
            app[entry.spelling] = values.of(tables.ENV, entry.value)
    if cwd:
        app["cwd"] = values.literal(cwd)
    return in_order({**app, **_meant(app, spec, values)})


def _meant(app: Mapping[str, object], spec: AppSpec, values: "_Values") -> Mapping[str, object]:
    """What a file means without saying it, and the new one would not."""
    has_files = spec.out_file or spec.error_file or spec.log_file
    by_id = bool(has_files) and not spec.merge_logs and not values.is_strict_next
    meant: dict[str, object] = {} if spec.logs_by_id == by_id else {"logs_by_id": spec.logs_by_id}
    if not (values.is_pm2s and values.is_strict_next):
        return meant
    meant |= {"name": escape(spec.name)} if spec.shared_name else {}
    env, counted = app.get("env", {}), spec.increment_var or ""
    if counted in spec.env and isinstance(env, Mapping) and not str(env.get(counted, "")).isdigit():
        meant["env"] = {**env, counted: spec.env[counted]}
    return meant


def _counting_in_pm2(known: Mapping[str, Entry], spec: AppSpec, values: "_Values") -> dict[str, Entry]:
    """Without the keys that mean nothing there beside others."""
    emptied = {name: values.emptied(entry) for name, entry in known.items()}
    known = pm2.entries_as_pm2(emptied, Problems(_NO_DOCUMENT, "").top(), only_pm2s=False)
    if spec.log_date_format == TIME_FORMAT and "time" in known:  # which counts there
        known.pop("log_date_format", None)
    if "exp_backoff_restart_delay" in known and not spec.restart_delay:  # which alone counts there
        known.pop("restart_delay", None)
    if "depends_on" in known and not spec.depends_on:  # on apps that are not there
        known.pop("depends_on")
    if not spec.args:  # a script with blanks does not get any
        known.pop("args", None)
    return known


def _runtime(table: Mapping[str, object], values: "_Values") -> Mapping[str, object]:
    found = [(keys.find(str(name), keys.RUNTIME_KEYS), value) for name, value in table.items()]
    return {key.name: values.of(key.kind, value) for key, value in found if key and value is not None}


def _cwd(spec: AppSpec, options: LoadOptions, target: OutputFile) -> str | None:
    """The folder as the new file has to say it, or None if it need not."""
    base = target.folder if target.has_references else options.cwd
    if spec.cwd == os.path.normpath(base) and base == target.folder:
        return None
    relative = os.path.relpath(spec.cwd, base)
    return spec.cwd if relative.startswith("../..") else relative


def in_order(app: Mapping[str, object]) -> Mapping[str, object]:
    """As the reference page has them, but the name first and sets beside `env`."""
    order = {name: index for index, name in enumerate(keys.APP_KEYS)} | {"name": -1}

    def place(name: str) -> tuple[int, str]:
        return (order[name], "") if name in order else (order["env"], name)

    return {name: app[name] for name in sorted(app, key=place)}


class _Values:
    """Writes single values."""

    def __init__(self, document: Document, options: LoadOptions, target: OutputFile) -> None:
        self._document = document
        self._environ = options.environ
        self.is_pm2s = document.is_pm2s
        self.is_strict_next = target.has_references
        self._from_references = document.has_references
        self._target = target
        self.remarks: list[str] = []
        """What the new file does not say."""

    def of(self, kind: ValueKind, value: object) -> object:
        """A key's value, in its most readable form where that means exactly the same."""
        if self._keeps_references(value):
            return _without_none(value)
        value = self._expanded(value)
        if kind is tables.ENV or kind is tables.FIELDS:
            return self._escaped(_environment(value))
        return self._escaped(_readable(kind, value))

    def plain(self, value: object) -> object:
        """A value whose kind is not asked for."""
        if self._keeps_references(value):
            return _without_none(value)
        return self._escaped(_without_none(self._expanded(value)))

    def literal(self, text: str) -> object:
        """A text that holds no references."""
        return self._escaped(text)

    def emptied(self, entry: Entry) -> Entry:
        """One whose reference is to nothing says nothing, which is read otherwise in a file of PM2's."""
        if isinstance(entry.value, str) and entry.value and self._expanded(entry.value) == "":
            return Entry(entry.spelling, "")
        return entry

    def environment(self, env: object, spec: AppSpec) -> Mapping[str, object]:
        """`env` with what the file put into its own process.env, and `unset_env` for what it deleted."""
        own = self.of(tables.ENV, env) if env is not None else {}
        left = {
            name: self._escaped(value)
            for name, value in self._document.env.items()
            if value is not None and spec.env.get(name) == value
        }
        counted = spec.increment_var if self.is_pm2s else None
        # PM2's own beginning, where the file has none.
        first = {counted: "0"} if counted is not None and spec.env.get(counted) == "0" else {}
        if isinstance(own, Mapping) and (merged := {**left, **own, **first}):
            own = merged
        found: dict[str, object] = {"env": own} if own else {}
        return {**found, "unset_env": [*spec.unset_env]} if spec.unset_env else found

    def _keeps_references(self, value: object) -> bool:
        return self._from_references and self._target.has_references and _has_reference(value)

    def _expanded(self, value: object) -> object:
        if not self._from_references:
            return value
        try:
            return expand(value, self._environ, set())
        except UnsetVariableError as error:  # resolve() has refused it already
            raise ConfigError(str(error)) from error

    def _escaped(self, value: object) -> object:
        if not self._target.has_references:
            return value
        return _each_text(value, escape)


def _readable(kind: ValueKind, value: object) -> object:
    if kind.write:
        try:
            parsed = kind.parse(value)
            written = kind.write(parsed)
            if kind.parse(written) == parsed:
                return written
        except Invalid:
            pass  # a value that has no such form stays as it is
    return _without_none(value)


def _environment(value: object) -> object:
    """Variables as a table of texts and scalars."""
    if isinstance(value, str):
        return tables.parse_environment(value)
    if not isinstance(value, Mapping):
        return value
    return {
        str(name): content if isinstance(content, str | int) else tables.variable_value(content)
        for name, content in value.items()
        if content is not None
    }


def _has_reference(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(_has_reference(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_has_reference(item) for item in value)
    return isinstance(value, str) and "${" in value


def _each_text(value: object, change: Any) -> object:
    if isinstance(value, Mapping):
        return {name: _each_text(item, change) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_each_text(item, change) for item in value]
    return change(value) if isinstance(value, str) else value


def _without_none(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(name): _without_none(item) for name, item in value.items() if item is not None}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_without_none(item) for item in value if item is not None]
    return value
