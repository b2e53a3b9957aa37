"""From a file, or a command line, to an Ecosystem: the one way in."""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from pidone.ecosystem import consistency, keys
from pidone.ecosystem.app import Reader
from pidone.ecosystem.document import Document
from pidone.ecosystem.entries import Entry, option, parse_value, report_unknown
from pidone.ecosystem.options import LoadOptions
from pidone.ecosystem.problems import Problems, Scope, did_you_mean, shown
from pidone.ecosystem.programs import remote
from pidone.ecosystem.references import UnsetVariableError, expand
from pidone.ecosystem.rights import missing_rights
from pidone.ecosystem.source_files import SourceFiles
from pidone.ecosystem.spec import Alert, AppSpec, Ecosystem, RuntimeSpec
from pidone.errors import ConfigError
from pidone.record import EMPTY

_LISTS: Final = ("smoke", "alerts")
_STDIN: Final = (None, Path("-"))
GRACE_VARIABLE: Final = "PIDONE_TERMINATION_GRACE"
"""Stands in for `termination_grace`, which belongs beside the number of the engine, not into a file."""


class Examined(NamedTuple):
    """What a document means, as far as it can be told, and everything that is wrong with it."""

    ecosystem: Ecosystem
    errors: tuple[str, ...]
    sources: Mapping[str, Mapping[str, str]] = EMPTY
    """App to key to the file that says it, where several make up the whole."""


def load(source: Path | None, options: LoadOptions) -> Ecosystem:
    """Read an ecosystem file (None: standard input). Raises ConfigError with everything that is wrong."""
    files = SourceFiles(options)
    return resolve(_read(source, files), options).but(origins=files.origins)


def examine_file(source: Path | None, options: LoadOptions) -> Examined:
    """As `load`, for who wants to see what is good, too. Raises ConfigError if nothing can be told."""
    return examine(read_document(source, options), options)


def read_document(source: Path | None, options: LoadOptions) -> Document:
    """What a file says, before it is asked what it means. Raises ConfigError."""
    return _read(source, SourceFiles(options))


def _read(source: Path | None, files: SourceFiles) -> Document:
    named: list[Path | None] = []
    for path in (source, *files.options.more):
        named += [None] if path in _STDIN else files.files_of(path)
    if named.count(None) > 1:
        raise ConfigError("-: standard input can be read only once")
    documents = [files.read(path) for path in named]
    if len(documents) == 1 and "include" not in documents[0].top:
        return documents[0]
    from pidone.ecosystem.compose import composed, with_includes  # noqa: PLC0415  # hardly ever needed

    cwd = files.options.cwd
    whole = composed([with_includes(document, files) for document in documents], cwd)
    return whole.but(source=documents[0].source)


def from_command(argv: Sequence[str], options: LoadOptions) -> Ecosystem:
    """The ecosystem of one script or command, `argv`. Raises ConfigError."""
    return resolve(document_of(argv), options, title="command line")


def document_of(argv: Sequence[str]) -> Document:
    """A script or command as the file that says the same."""
    app: dict[str, object] = {"script": argv[0]} if argv else {}
    if argv[1:]:
        app["args"] = [*argv[1:]]
    return Document(apps=(app,), top={}, source=None, language="command")


def resolve(document: Document, options: LoadOptions, title: str = "") -> Ecosystem:
    """What a document means. Raises ConfigError with one line for each thing that is wrong."""
    examined = examine(document, options, title)
    if examined.errors:
        raise ConfigError("\n".join(examined.errors))
    return examined.ecosystem


def examine(document: Document, options: LoadOptions, title: str = "") -> Examined:
    """The same for somebody who wants to see what is good, too."""
    problems = Problems(document, title or document.name)
    top = problems.top()
    document, unset = _expanded(document, options, top)
    base = options.cwd
    if document.strict and document.source:
        base = Path(os.path.normpath(options.cwd / document.source.parent))
    reader = Reader(document, options, top, base)
    reader.unset |= unset
    if len(document.apps) > 1 and "name" in options.overrides:
        top.warn(f"--name is ignored: there are {len(document.apps)} apps")
        overrides = {key: value for key, value in options.overrides.items() if key != "name"}
        reader.options = options.but(overrides=overrides)
    only = _only_known(reader)
    names = [reader.name_of(app) for app in document.apps] if only else []
    read = [
        (reader.read(index, app), top.at(index))
        for index, app in enumerate(document.apps)
        if not only or names[index] in only
    ]
    if "static" in document.top:
        from pidone.ecosystem import static  # noqa: PLC0415  # few files have any

        served = static.read(reader)
        names += [app.name for app, _ in served]
        read += [(app, place) for app, place in served if not only or app.name in only]
    for name in only - {*names} if only else ():
        top.error(f"--only {shown(name)}: there is no such app{did_you_mean(name, names)}")
    apps = [app for app, _ in read]
    if not apps and not problems.errors:
        top.error("there is no app to run")
    left_out = {*names} - only if only else set()
    apps = consistency.check(apps, [place for _, place in read], left_out, is_pm2s=document.is_pm2s)
    runtime = _read_runtime(reader)
    rest = _read_lists(reader)
    _check_alerts(rest.get("alerts", ()), {app.name for app in apps} | left_out, top)
    _report(reader)
    apps = [_with_fields(app, runtime.log_fields) for app in apps]
    consistency.check_time(runtime, apps, top)
    ecosystem = Ecosystem(
        apps=tuple(remote.marked(apps)),
        runtime=runtime,
        **rest,
        source=str(document.source) if document.source else None,
        cpus=options.cpus,
        listens_at={
            app.key(): place.where("listen") for app, (_, place) in zip(apps, read, strict=True) if app.listen
        },
        missing_rights=tuple(missing_rights(apps, [place for _, place in read])),
        warnings=tuple(dict.fromkeys(problems.warnings)),
        notices=(*document.notices, *dict.fromkeys(problems.notices)),
    )
    return Examined(ecosystem, tuple(dict.fromkeys(problems.errors)), _sources(reader))


def _sources(reader: Reader) -> Mapping[str, Mapping[str, str]]:
    """Of keys (`instances`) and of the members of tables (`env.PORT`)."""
    document = reader.document
    found: dict[str, dict[str, str]] = {}
    for index, app in enumerate(document.apps):
        for spelling, value in app.items():
            key = keys.find(spelling, keys.APP_KEYS)
            name = key.name if key else spelling
            members = (
                [(f"{name}.{each}", (index, spelling, each)) for each in value]
                if isinstance(value, Mapping)
                else []
            )
            for told, path in ((name, (index, spelling)), *members):
                if file := document.file_of(path):
                    found.setdefault(reader.name_of(app), {})[told] = file
    return found


def _only_known(reader: Reader) -> set[str]:
    """The apps that `--only` names; a script or command is the only one anyway."""
    only = {*reader.options.only}
    if only and reader.document.language == "command":
        reader.top.notice("--only is ignored: it is for files with several apps")
        return set()
    return only


def _expanded(document: Document, options: LoadOptions, top: Scope) -> tuple[Document, set[str]]:
    """The tables beside the apps with their `${VAR}` replaced, and the variables that are not set."""
    unset: set[str] = set()
    if not document.has_references:
        return document, unset
    found = dict(document.top)
    for name in ("runtime", *_LISTS):
        try:
            if name in found:
                found[name] = expand(found[name], options.environ, unset)
        except UnsetVariableError as error:
            key = ".".join(map(str, (name, *error.path)))
            top.error(f"{key}: {error}", name, *error.path)
    return document.but(top=found), unset


def _read_runtime(reader: Reader) -> RuntimeSpec:
    table = reader.document.top.get("runtime")
    if table is not None and not isinstance(table, Mapping):
        reader.top.wrong("runtime", table, "expected a table")
    scope = reader.top.at("runtime", "runtime: ")
    found = {str(name): value for name, value in table.items()} if isinstance(table, Mapping) else {}
    entries: dict[str, Entry] = {}
    unknown = []
    for spelling, value in found.items():
        key = keys.find(spelling, keys.RUNTIME_KEYS)
        if key:
            entries[key.name] = Entry(spelling, value)
        else:
            unknown.append(spelling)
    report_unknown(unknown, list(keys.RUNTIME_KEYS), scope, strict=reader.document.strict)
    entries |= {name: option(name, value) for name, value in reader.options.runtime.items()}
    if GRACE_VARIABLE in reader.options.environ:
        entries.setdefault("termination_grace", Entry(GRACE_VARIABLE, reader.options.environ[GRACE_VARIABLE]))
    values: dict[str, Any] = {}
    for name, entry in entries.items():
        value = None if entry.value is None else parse_value(keys.RUNTIME_KEYS[name].kind, entry, scope)
        if value is not None:
            values[name] = value
    values |= _absolute(values, reader)
    if reader.options.personality != "pidone":
        values.setdefault("log_format", "raw")
        values.setdefault("pm2_rpc", True)
    if values.get("watch_config") and reader.document.source is None:
        scope.warn("watch_config: there is no file to watch", "watch_config")
    return RuntimeSpec(**values)


def _absolute(values: Mapping[str, Any], reader: Reader) -> dict[str, str]:
    """Paths of the runtime, which itself works in /: relative to the command line's folder or the file's."""
    own = reader.options.runtime
    return {
        name: os.path.normpath((reader.options.cwd if name in own else reader.base) / path)
        for name, path in keys.paths_in(values)
    }


def _with_fields(app: AppSpec, fields: Mapping[str, str]) -> AppSpec:
    return app.but(log_fields={**fields, **app.log_fields}) if fields else app


def _read_lists(reader: Reader) -> dict[str, Any]:
    """The top-level keys beside apps and runtime."""
    found: dict[str, Any] = {}
    unknown = []
    for name, value in reader.document.top.items():
        if name in _LISTS and value is not None:
            from pidone.ecosystem.values import checks  # noqa: PLC0415  # few files have any

            parsed = parse_value(checks.KINDS[name], Entry(name, value), reader.top)
            found[name] = parsed or ()
        elif name not in keys.TOP_LEVEL:
            unknown.append(str(name))
    for name in [name for name in unknown if keys.find(name, keys.APP_KEYS)]:
        say = reader.top.error if reader.document.strict else reader.top.warn
        say(f"{name} stands beside the apps, where it has no effect; it belongs into an app", name)
        unknown.remove(name)
    report_unknown(unknown, list(keys.TOP_LEVEL), reader.top, strict=reader.document.strict)
    return found


def _check_alerts(alerts: Sequence[Alert], names: Collection[str], top: Scope) -> None:
    for index, alert in enumerate(alerts):
        for name in alert.apps:
            if name not in names:
                hint = did_you_mean(name, names)
                top.error(
                    f"alerts[{index}].apps = {shown(name)}: there is no such app{hint}",
                    "alerts",
                    index,
                    "apps",
                )


def _report(reader: Reader) -> None:
    """What is said once for the whole file."""
    top, options = reader.top, reader.options
    if reader.ignored:
        top.notice(
            f"these keys mean nothing in a container and are ignored: {', '.join(sorted(reader.ignored))}"
        )
    for name in sorted(reader.unset):
        top.warn(f"${{{name}}} is not set and becomes empty; ${{{name}:-}} says that this is meant")
    deploy = reader.document.top.get("deploy")
    known = {*reader.env_sets, *(deploy if isinstance(deploy, Mapping) else ())}
    if options.hints and known and not options.env_name:
        sets = ", ".join(f"env_{name}" for name in sorted(known))
        top.notice(f"{sets}: only used if --env names it")
    if options.env_name and options.env_name not in known:
        hint = did_you_mean(options.env_name, known) if known else ""
        top.warn(f"--env {options.env_name}: no app has env_{options.env_name}{hint}")
