"""One app: the keys of a file become an AppSpec."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from pidone.ecosystem import environment, keys
from pidone.ecosystem.document import NODE_PATH, Document
from pidone.ecosystem.options import LoadOptions
from pidone.ecosystem.problems import Scope, did_you_mean, shown
from pidone.ecosystem.programs import serving
from pidone.ecosystem.programs.program import Program, Request
from pidone.ecosystem.programs.program import resolve as resolve_program
from pidone.ecosystem.references import UnsetVariableError, expand
from pidone.ecosystem.spec import AppSpec, ExecMode, MemoryShare, Readiness, Seconds
from pidone.ecosystem.values import Invalid, Kind, kinds, tables, watching
from pidone.ecosystem.values.quantities import write_size
from pidone.ecosystem.values.rights import Account, credentials
from pidone.ecosystem.values.tables import HOOK_NAMES
from pidone.masking import MASK, is_secret

T = TypeVar("T")

EXPANDED: Final = frozenset({"toml", "yaml"})
"""Languages whose texts may hold `${VAR}`; JavaScript has process.env, and PM2 takes JSON as it is."""
_TIME_FORMAT: Final = "YYYY-MM-DDTHH:mm:ss"
_LONGEST_NAME: Final = 200
_SHORTEST_INTERVAL: Final = 0.05
_USER_NAMES: Final = ("USER", "LOGNAME")
_FIELDS: Final = frozenset(AppSpec.field_names())
_LOG_FILES: Final = ("out_file", "error_file", "log_file")


class Entry(NamedTuple):
    """A key as the file spells it, with its value as the file has it."""

    spelling: str
    value: object


def option(name: str, value: object) -> Entry:
    """A key that the command line has: messages name what was typed."""
    return Entry(f"--{name.replace('_', '-')}", value)


_NOTHING: Final = Entry("script", None)


class Sorted(NamedTuple):
    """The keys of one app by what they are."""

    known: dict[str, Entry]
    """By canonical name."""
    sets: dict[str, Entry]
    """`env_production` by `production`."""
    ignored: list[str]
    """Spellings that mean nothing in a container."""
    unknown: list[str]


def sort_keys(raw: Mapping[str, object], scope: Scope) -> Sorted:
    """Recognise every key of an app. A key that is spelt twice counts by its canonical name."""
    found = Sorted({}, {}, [], [])
    for spelling, value in raw.items():
        key = keys.find(spelling, keys.APP_KEYS)
        # PM2 takes `env_file: {...}` as an environment called "file"; only there it is one.
        if (
            spelling.startswith("env_")
            and (key is None or isinstance(value, Mapping))
            and spelling != "env_from_files"
        ):
            found.sets[spelling.removeprefix("env_")] = Entry(spelling, value)
        elif key is None:
            ignored = (
                spelling in keys.NOTHING_IN_A_CONTAINER or keys.snake(spelling) in keys.NOTHING_IN_A_CONTAINER
            )
            (found.ignored if ignored else found.unknown).append(spelling)
        elif key.name not in found.known or spelling == key.name:
            if key.name in found.known:
                scope.warn(
                    f"{found.known[key.name].spelling} is the same key as {key.name}, which counts", spelling
                )
            found.known[key.name] = Entry(spelling, value)
        else:
            scope.warn(
                f"{spelling} is the same key as {found.known[key.name].spelling}, which counts", spelling
            )
    return found


def report_unknown(
    unknown: list[str], known: Iterator[str] | list[str], scope: Scope, *, strict: bool
) -> None:
    """Name keys that nobody knows: errors in our own dialect, warnings in PM2's."""
    words = list(known)
    for spelling in unknown:
        message = f"{spelling}: unknown key{did_you_mean(keys.snake(spelling), words)}"
        if strict:
            scope.error(message, spelling)
        else:
            scope.warn(message, spelling)


def parse_value(kind: Kind, entry: Entry, scope: Scope) -> Any:
    """The resolved value, or None after everything wrong in it has been reported."""
    try:
        advice = kind.advise(entry.value)
        value = kind.parse(entry.value)
    except Invalid as invalid:
        secret = entry.spelling.startswith(("env", "secrets"))
        if not invalid.findings:
            scope.wrong(entry.spelling, entry.value, invalid.expected, secret=secret)
        for found in invalid.findings:
            dotted = entry.spelling + "".join(f"[{k}]" if isinstance(k, int) else f".{k}" for k in found.path)
            nested = scope.at(entry.spelling)
            hidden = found.value is not None and is_secret(str(found.path[-1:]))
            quoted = MASK if secret else shown(MASK if hidden else found.value)
            nested.error(f"{dotted} = {quoted}: {found.expected}", *found.path)
        return None
    if advice:
        scope.warn(f"{entry.spelling} = {shown(entry.value)}: {advice}", entry.spelling)
    return value


class Reader:
    """What all apps of a file have in common while they are read."""

    def __init__(self, document: Document, options: LoadOptions, top: Scope, base: Path) -> None:
        """Relative folders of the file start at `base`."""
        self.document = document
        self.options = options
        self.top = top
        self.base = base
        self.env_sets: set[str] = set()
        self.ignored: set[str] = set()
        self.unset: set[str] = set()

    def read(self, index: int, raw: Mapping[str, object]) -> AppSpec:
        """One app. Problems are reported; the result is only meant to be used if there were no errors."""
        scope = self.top.at(index, f"app {_label(index, raw)}: ")
        # A single table that is not an app may be the list of them, misspelt.
        also_known = ("apps",) if len(self.document.apps) == 1 else ()
        return self.read_expanded(self.expanded(raw, scope), scope, also_known=also_known)

    def expanded(self, raw: Mapping[str, object], scope: Scope) -> Mapping[str, object]:
        """A table with its `${VAR}` replaced, in the languages that have them."""
        if self.document.language in EXPANDED:
            try:
                found: Mapping[str, object] = expand(raw, self.options.environ, self.unset)
            except UnsetVariableError as error:
                key = ".".join(map(str, error.path))
                scope.error(f"{key}: {error}", *error.path)
            else:
                return found
        return raw

    def read_expanded(
        self, raw: Mapping[str, object], scope: Scope, *, also_known: Iterable[str] = ()
    ) -> AppSpec:
        """One app whose references are replaced already; misspelt keys may mean one of `also_known`."""
        found = sort_keys({str(name): value for name, value in raw.items()}, scope)
        report_unknown(found.unknown, [*keys.APP_KEYS, *also_known], scope, strict=self.document.strict)
        self.ignored.update(found.ignored)
        self.env_sets.update(found.sets)
        values = self._values(found, scope)
        return self._spec(values, found, scope)

    def _values(self, found: Sorted, scope: Scope) -> dict[str, Any]:
        entries = {name: Entry(name, value) for name, value in self.options.defaults.items()}
        entries |= found.known
        entries |= {name: option(name, value) for name, value in self.options.overrides.items()}
        values = {}
        for name, entry in entries.items():
            if entry.value is None:
                continue  # JavaScript's undefined and null: as if it were not there
            value = parse_value(keys.APP_KEYS[name].kind, entry, scope)
            if value is not None:
                values[name] = value
        return values

    def _spec(self, values: dict[str, Any], found: Sorted, scope: Scope) -> AppSpec:
        if "script" not in values and (entry := found.known.get("script", _NOTHING)).value is None:
            scope.error('script is missing: say what to run, e.g. script = "app.js"', entry.spelling)
        account: Account | None = values.pop("uid", None)
        cwd = self._cwd(values, scope)
        if deleted := tuple(name for name, value in self.document.env.items() if value is None):
            values["unset_env"] = (*values.get("unset_env", ()), *deleted)
        if account and account.name is None:  # nobody knows its name; the one that we have is another's
            values["unset_env"] = (*values.get("unset_env", ()), *_USER_NAMES)
        variables = self._environment(values, found, cwd, account, scope)
        program = self._program(values, variables.variables, cwd, scope)
        name = self._name(values, scope)
        variables.variables.update(program.env if program else {})
        result = {key: value for key, value in values.items() if key in _FIELDS}
        result |= self._stopping(values)
        result |= credentials(values, account, scope, must_exist=self.options.must_exist)
        result["exec_mode"] = _exec_mode(values, program)
        result |= _readiness(values, program, result["exec_mode"], scope)
        if program:
            result |= _defaults(program, values)
        result |= _logs(values, cwd, variables.variables)
        if hooks := {name: values[name] for name in HOOK_NAMES if name in values}:
            result["hooks"] = {**values.get("hooks", {}), **hooks}
        result |= watching.merged(values)
        _check_memory(values, scope)
        _check_age(values, result, scope)
        result |= _scheduled(values, scope)
        return AppSpec(
            **{
                **result,
                "name": name,
                "argv": program.argv if program else (),
                "interpreter": program.interpreter if program else "none",
                "args": (*values.get("args", ()), *self.options.args),
                "cwd": str(cwd),
                "env": variables.variables,
                "secrets": variables.secrets,
            }
        )

    # Parts of it ------------------------------------------------------------------------------------------

    def _cwd(self, values: Mapping[str, Any], scope: Scope) -> Path:
        written = values.get("cwd")
        if written is None:
            needed = serving.what_must_be_there(values)
            return self.base if needed is None else self._folder_of(needed, self.base, scope)
        if written == "~" or written.startswith("~/"):
            written = environment.home_of(self.options.environ) + written[1:]
        cwd = Path(os.path.normpath(self.base / written))
        if self.options.must_exist:
            why = _why_no_folder(cwd)
            if why:
                scope.error(f"cwd = {shown(values['cwd'])}: {why}", "cwd")
        return cwd

    def _environment(
        self, values: Mapping[str, Any], found: Sorted, cwd: Path, account: Account | None, scope: Scope
    ) -> environment.Environment:
        environ = self.options.environ
        # What a JavaScript file put into its process.env its apps inherit, as under PM2.
        left = Entry("process.env", {**self.document.env})
        merged: dict[str, str] = parse_value(tables.ENV, left, self.top) or {}
        if account:
            merged["HOME"] = account.home or "/"
            if account.name:
                merged |= dict.fromkeys(_USER_NAMES, account.name)
        files = [
            name for name in values.get("env_file", ()) if self.options.must_exist or _is_file(cwd, name)
        ]
        merged |= environment.read_env_files(files, cwd, environ, scope)
        merged |= self._deploy_environment()
        merged |= values.get("env", {})
        chosen = found.sets.get(self.options.env_name or "")
        for set_name, entry in found.sets.items():
            if entry.value is None:
                continue
            variables = parse_value(tables.ENV, entry, scope)
            if variables and set_name == self.options.env_name and chosen:
                merged |= variables
        if "port" in values:
            merged["PORT"] = str(values["port"])
        secrets: dict[str, str] = {}
        if self.options.must_exist:
            secrets = environment.read_secrets(values.get("secrets", False), merged, environ, cwd, scope)
        return environment.Environment({**merged, **secrets}, tuple(secrets))

    def _deploy_environment(self) -> dict[str, str]:
        deploy = self.document.top.get("deploy")
        target = (
            deploy.get(self.options.env_name)
            if isinstance(deploy, Mapping) and self.options.env_name
            else None
        )
        env = target.get("env") if isinstance(target, Mapping) else None
        if env is None:
            return {}
        entry = Entry("env", env)
        found = parse_value(tables.ENV, entry, self.top.at("deploy", f"deploy.{self.options.env_name}: "))
        return found or {}

    def _program(
        self, values: Mapping[str, Any], variables: Mapping[str, str], cwd: Path, scope: Scope
    ) -> Program | None:
        script = values.get("script")
        if script is None or (self.options.must_exist and not cwd.is_dir()):  # the latter is told already
            return None
        unset = values.get("unset_env", ())
        inherited = {} if values.get("filter_env") is True else self.options.environ
        inherited = {name: value for name, value in inherited.items() if name not in unset}
        return resolve_program(
            Request(
                script=_real_node(script),
                args=(*values.get("args", ()), *self.options.args),
                interpreter=_real_node(values.get("interpreter")),
                interpreter_args=values.get("interpreter_args", ()),
                cwd=cwd,
                env={"PATH": self.options.environ.get("PATH", os.defpath), **inherited, **variables},
                cluster=values.get("exec_mode") is ExecMode.CLUSTER,
                must_exist=self.options.must_exist,
            ),
            scope,
        )

    def _folder_of(self, needed: str, cwd: Path, scope: Scope) -> Path:
        """The folder to start in: PM2 takes its own working directory, many files mean theirs."""
        source = self.document.source
        if self.document.strict or source is None or any(char.isspace() for char in needed) or "\0" in needed:
            return cwd
        folder = (self.options.cwd / source).parent
        if len(needed) < 1000 and not (cwd / needed).exists() and (folder / needed).exists():
            scope.notice(f"{shown(needed)} is not in {cwd}; the file's own folder is used as cwd", "script")
            return Path(os.path.normpath(folder))
        return cwd

    def _name(self, values: Mapping[str, Any], scope: Scope) -> str:
        name = values.get("name") or Path(values.get("script", "app").replace("\0", "")).stem or "app"
        if not name.isprintable() or len(name) > _LONGEST_NAME or not name.strip():
            scope.error(
                f"name = {shown(name)}: expected a printable name of at most {_LONGEST_NAME} characters",
                "name",
            )
        if values.get("append_env_to_name") and self.options.env_name:
            name = f"{name}-{self.options.env_name}"
        prefix = values.get("name_prefix")
        return f"{prefix}:{name}" if prefix else name

    def _stopping(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """PM2's own defaults and variables, where it is called by that name."""
        if self.options.personality == "pidone":
            return {}
        environ = self.options.environ
        defaults: dict[str, Any] = {
            "kill_signal": self._pm2_kill_signal(),
            "kill_timeout": self._pm2_milliseconds("PM2_KILL_TIMEOUT", 1.6),
            "listen_timeout": self._pm2_milliseconds("PM2_GRACEFUL_LISTEN_TIMEOUT", 3.0),
            "shutdown_with_message": environ.get("PM2_KILL_USE_MESSAGE", "false") not in ("", "0", "false"),
        }
        return {name: value for name, value in defaults.items() if name not in values}

    def _pm2_milliseconds(self, variable: str, default: Seconds) -> Seconds:
        text = self.options.environ.get(variable, "")
        if text.isascii() and text.isdigit() and len(text) < 12:
            return int(text) / 1000
        if text:
            self.top.warn(f"{variable} = {shown(text)}: expected milliseconds; {default * 1000:g} counts")
        return default

    def _pm2_kill_signal(self) -> int:
        name = self.options.environ.get("PM2_KILL_SIGNAL") or "SIGINT"
        found: int | None = parse_value(kinds.SIGNAL, Entry("PM2_KILL_SIGNAL", name), self.top)
        return found or AppSpec.kill_signal


def _label(index: int, raw: Mapping[str, object]) -> str:
    name = raw.get("name")
    return shown(name) if isinstance(name, str) and name else f"#{index + 1}"


def _real_node(program: T) -> T | str:
    """`process.execPath` of a JavaScript file, which is a stand-in where Node is elsewhere, as that Node."""
    return "node" if program == NODE_PATH and not os.path.exists(NODE_PATH) else program


def _is_file(folder: Path, name: str) -> bool:
    try:
        return (folder / name).is_file()
    except (OSError, ValueError):  # too long, or not a path at all
        return False


def _why_no_folder(path: Path) -> str:
    try:
        if not path.exists():
            return f"no such folder ({path})"
        if not path.is_dir():
            return "is not a folder"
    except (OSError, ValueError) as error:
        return f"cannot be used: {error}"
    return "" if os.access(path, os.X_OK) else "cannot be entered (EACCES)"


def _defaults(program: Program, values: Mapping[str, Any]) -> dict[str, Any]:
    """What the program brings along; a port of each instance's own is not opened for all of them."""
    own_ports = values.get("increment_var") in program.env
    return {
        k: v for k, v in program.defaults.items() if k not in values and not (own_ports and k == "listen")
    }


def _exec_mode(values: Mapping[str, Any], program: Program | None) -> ExecMode:
    """PM2's rule: `instances` make a Node app a cluster."""
    if "exec_mode" in values:
        mode: ExecMode = values["exec_mode"]
        return mode
    return ExecMode.CLUSTER if "instances" in values and program and program.is_node else ExecMode.FORK


def _readiness(
    values: Mapping[str, Any], program: Program | None, mode: ExecMode, scope: Scope
) -> dict[str, Any]:
    if "ready" in values:
        if values.get("wait_ready") and not values["ready"].ipc:
            scope.warn("wait_ready is set beside ready, which counts", "wait_ready")
        return {}
    if values.get("wait_ready"):
        return {"ready": Readiness(ipc=True)}
    if mode is ExecMode.CLUSTER and program and program.is_node:
        return {"ready": Readiness(listen=True)}
    return {"ready": Readiness(listen=True)} if values.get("share") == "python" else {}


def _logs(values: Mapping[str, Any], cwd: Path, variables: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in _LOG_FILES:
        path = values.get(key)
        if path:
            home = variables.get("HOME") or "/"
            found[key] = os.path.normpath(cwd / (home + path[1:] if path.startswith("~/") else path))
    if values.get("time") and "log_date_format" not in values:
        found["log_date_format"] = _TIME_FORMAT
    if values.get("log_type") == "raw":
        found["log_type"] = None
    if "merge_logs" not in values:
        found["merge_logs"] = "instances" not in values
    return found


def _check_age(values: Mapping[str, Any], result: Mapping[str, Any], scope: Scope) -> None:
    ready_within = result.get("listen_timeout", AppSpec.listen_timeout)
    if "max_age" in values and values["max_age"] <= ready_within:
        scope.error(
            f"max_age must be longer than listen_timeout ({ready_within:g} s): "
            "instances would be replaced as soon as they are ready",
            "max_age",
        )


def _scheduled(values: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
    """A job runs when its time has come, and only then."""
    if not values.get("schedule"):
        return {}
    for key, what in (("autorestart", "restarted"), ("essential", "essential")):
        if values.get(key):
            scope.warn(f"{key} has no effect beside schedule: a job that ends is not {what}", key)
    return {"autorestart": False, "essential": False}


def _check_memory(values: Mapping[str, Any], scope: Scope) -> None:
    soft, hard = values.get("memory_soft_limit"), values.get("max_memory_restart")
    if isinstance(soft, MemoryShare) and isinstance(hard, MemoryShare):
        above = soft.per_instance == hard.per_instance and soft.fraction > hard.fraction
    else:
        above = isinstance(soft, int) and isinstance(hard, int) and soft > hard
    if above:
        scope.error(
            f"memory_soft_limit ({write_size(soft)}) is above max_memory_restart ({write_size(hard)})",
            "memory_soft_limit",
        )
    if values.get("memory_interval", _SHORTEST_INTERVAL) < _SHORTEST_INTERVAL:
        scope.error(
            f"memory_interval must be {_SHORTEST_INTERVAL * 1000:g}ms or more: "
            "pidone would be busy with nothing but measuring",
            "memory_interval",
        )
