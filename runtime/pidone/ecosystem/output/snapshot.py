"""The file that starts again what runs now: what was started, as its command line and people have changed it.

Of what runs, only the scale counts and whether somebody stopped it. Variables are written as the file has
them: references stay references; values of `env_file`, `secrets` and the surroundings never appear.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from pidone import signames
from pidone.ecosystem import keys, static
from pidone.ecosystem.document import Document
from pidone.ecosystem.options import LoadOptions
from pidone.ecosystem.output.convert import OutputFile, Tables, convert, in_order, sorted_keys
from pidone.ecosystem.references import escape
from pidone.ecosystem.spec import AppSpec
from pidone.ecosystem.values import tables
from pidone.ecosystem.values.quantities import write_duration
from pidone.record import EMPTY, Record

_INTO_THE_NAME: Final = ("name_prefix", "append_env_to_name")
_LOG_FILES: Final = ("out_file", "error_file", "log_file")
_ANYWHERE: Final = OutputFile(Path("/"), has_references=True)
"""Folders are written in full, so that it does not matter where the result is kept."""


class SavedState(Record, kw_only=True):
    """What has become of an app."""

    scale: int
    is_wanted: bool
    """Or it rests until somebody starts it."""
    has_run: bool


def snapshot(document: Document, how: LoadOptions, running: Mapping[tuple[str, str], SavedState]) -> Tables:
    """What runs, by namespace and name, as tables. Raises ConfigError if the file cannot be used any more.

    Args:
        document: What was started.
        how: With what its command line said.
        running: Apps that are not there are left out.
    """
    plain = how.but(only=(), args=(), overrides=EMPTY, defaults=EMPTY, runtime=EMPTY, must_exist=False)
    converted = convert(_as_started(document, how), plain, _ANYWHERE)
    found, specs = converted.tables, converted.ecosystem.apps
    names = {spec.name for spec in specs if spec.key() in running}

    def kept(entries: Sequence[Mapping[str, object]], specs: Sequence[AppSpec]) -> list[Mapping[str, object]]:
        return [
            _as_it_runs(entry, spec, running[spec.key()], plain, found.rest, names)
            for entry, spec in zip(entries, specs, strict=True)
            if spec.key() in running
        ]

    count = len(found.apps)
    rest = dict(found.rest)
    if served := kept(static.entries(rest), specs[count:]):  # type: ignore[arg-type]
        rest["static"] = served
    else:
        rest.pop("static", None)
    return Tables(
        apps=tuple(kept(found.apps, specs[:count])),
        left_out=tuple(
            left for left, spec in zip(found.left_out, specs, strict=False) if spec.key() in running
        ),
        runtime=_runtime(found.runtime, how),
        rest=rest,
    )


def _as_started(document: Document, how: LoadOptions) -> Document:
    """The document with what the command line laid over and under it."""
    has_references = document.has_references

    def literal(value: object) -> object:
        if isinstance(value, list | tuple):
            return [literal(each) for each in value]
        return escape(value) if has_references and isinstance(value, str) else value

    def changed(app: Mapping[str, object]) -> Mapping[str, object]:
        known = sorted_keys(app).known
        given = {entry.spelling: name for name, entry in known.items() if entry.value is not None}
        new = {name: literal(value) for name, value in how.overrides.items()}
        if len(document.apps) > 1:
            new.pop("name", None)
        if how.args:
            own = app.get(next((spelling for spelling, name in given.items() if name == "args"), "args"))
            parsed = [] if own is None else keys.APP_KEYS["args"].kind.parse(own)
            new["args"] = [*parsed, *map(literal, how.args)]
        old = {name: literal(value) for name, value in how.defaults.items() if name not in given.values()}
        return {**{each: value for each, value in app.items() if given.get(each) not in new}, **old, **new}

    runtime = document.top.get("runtime")
    laid = {name: literal(value) for name, value in how.runtime.items()}
    own = runtime if isinstance(runtime, Mapping) else {}
    top = {**document.top, "runtime": {**own, **laid}} if laid else document.top
    return document.but(apps=tuple(map(changed, document.apps)), top=top)


def _as_it_runs(
    entry: Mapping[str, object],
    spec: AppSpec,
    state: SavedState,
    how: LoadOptions,
    rest: Mapping[str, object],
    names: set[str],
) -> Mapping[str, object]:
    app = {name: value for name, value in entry.items() if name not in _INTO_THE_NAME}
    app |= {"name": escape(spec.name), "cwd": escape(spec.cwd)}
    if how.env_name:
        app |= _environment(app, rest, how.env_name)
    if how.personality != "pidone":
        app = {**_peer_defaults(spec), **app}
    if state.scale != spec.count(how.cpus):
        app |= _scaled(app, spec, state.scale)
    if state.is_wanted:
        app.pop("autostart", None)
    elif state.has_run:
        app["autostart"] = False
    if any(each.app not in names for each in spec.depends_on):
        left = {each.app: each.condition.value for each in spec.depends_on if each.app in names}
        app = {name: value for name, value in app.items() if name != "depends_on"}
        app |= {"depends_on": left} if left else {}
    return in_order(app)


def _environment(app: Mapping[str, object], rest: Mapping[str, object], name: str) -> dict[str, object]:
    """`env` with the set that `--env` chose."""
    deploy = rest.get("deploy")
    target = deploy.get(name) if isinstance(deploy, Mapping) else None
    deployed = target.get("env") if isinstance(target, Mapping) else None
    merged: dict[str, object] = {}
    for variables in (app.get("env"), deployed, app.get(f"env_{name}")):
        merged |= tables.parse_environment(variables) if variables is not None else {}
    return {"env": merged} if merged else {}


def _peer_defaults(spec: AppSpec) -> dict[str, object]:
    """What an app has only because it was started under the name of PM2's runtime."""
    return {
        "kill_signal": signames.signal_name(spec.kill_signal),
        "kill_timeout": write_duration(spec.kill_timeout),
        "listen_timeout": write_duration(spec.listen_timeout),
        "kill_mode": spec.kill_mode.value,
        "stdin": spec.stdin,
        **({"shutdown_with_message": True} if spec.shutdown_with_message else {}),
    }


def _scaled(app: Mapping[str, object], spec: AppSpec, scale: int) -> dict[str, object]:
    """Another number, and what the mere presence of a number would change."""
    if "instances" in app:
        return {"instances": scale}
    has_files = any(name in app for name in _LOG_FILES)
    return {
        "instances": scale,
        "exec_mode": spec.exec_mode.value,
        **({"merge_logs": spec.merge_logs} if has_files else {}),
    }


def _runtime(table: Mapping[str, object], how: LoadOptions) -> Mapping[str, object]:
    return table if how.personality == "pidone" else {"log_format": "raw", "pm2_rpc": True, **table}
