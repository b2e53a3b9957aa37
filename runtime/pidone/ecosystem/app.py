"""One app: the keys of a file become an AppSpec."""

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from pidone.ecosystem import consistency, environment, keys, pm2
from pidone.ecosystem.document import NODE_PATH, Document
from pidone.ecosystem.entries import (
    Entry,
    Sorted,
    meant_for_script,
    option,
    parse_value,
    report_unknown,
    sort_keys,
)
from pidone.ecosystem.options import LoadOptions
from pidone.ecosystem.problems import Problems, Scope, shown
from pidone.ecosystem.programs import preloading, serving
from pidone.ecosystem.programs.loading import told_by_a_line
from pidone.ecosystem.programs.program import Program, ProgramRequest
from pidone.ecosystem.programs.program import resolve as resolve_program
from pidone.ecosystem.programs.stopping import graceful_signal
from pidone.ecosystem.references import UnsetVariableError, expand, expand_app
from pidone.ecosystem.spec import AppSpec, ExecMode, KillMode, Readiness, Seconds
from pidone.ecosystem.values import kinds, tables, watching
from pidone.ecosystem.values.rights import Account, credentials
from pidone.ecosystem.values.tables import HOOK_NAMES
from pidone.masked_args import mask_args
from pidone.masking import mask_named
from pidone.signames import parse_signal

T = TypeVar("T")

TIME_FORMAT: Final = "YYYY-MM-DDTHH:mm:ss"
_OTHER_TARGETS: Final = {r"all": "all apps", r"\d+": "an id", r".+:\d+": "an instance"}
"""What else a word means to commands, which is lost where an app is called so."""
_LONGEST_NAME: Final = 200
_USER_NAMES: Final = ("USER", "LOGNAME")
_FIELDS: Final = frozenset(AppSpec.field_names())
_LOG_FILES: Final = ("out_file", "error_file", "log_file")


_NOTHING: Final = Entry("script", None)


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

    def name_of(self, raw: Mapping[str, object]) -> str:
        """What the app is called, without looking at the rest of it."""
        unheard = Problems(self.document, "").top()
        with contextlib.suppress(UnsetVariableError):
            raw = expand(raw, self.options.environ, set()) if self.document.has_references else raw
        known = sort_keys({str(name): value for name, value in raw.items()}, unheard).known
        known |= {name: option(name, value) for name, value in self.options.overrides.items()}
        values: dict[str, Any] = {
            name: parse_value(keys.APP_KEYS[name].kind, known[name], unheard)
            for name in ("name", "script", "name_prefix", "append_env_to_name")
            if name in known and known[name].value is not None
        }
        return self._name(values, unheard)

    def expanded(self, raw: Mapping[str, object], scope: Scope) -> Mapping[str, object]:
        """A table with its `${VAR}` replaced, in the languages that have them."""
        if self.document.has_references:
            try:
                found: Mapping[str, object] = expand_app(raw, self.options.environ, self.unset)
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
        return self._spec(values, found, scope, also_known)

    def _values(self, found: Sorted, scope: Scope) -> dict[str, Any]:
        entries = {name: Entry(name, value) for name, value in self.options.defaults.items()}
        known = found.known
        if self.document.is_pm2s:
            is_pm2 = self.options.personality != "pidone"
            known = pm2.entries_as_pm2(known, scope, only_pm2s=is_pm2)
        entries |= known
        entries |= {name: option(name, value) for name, value in self.options.overrides.items()}
        values = {}
        for name, entry in entries.items():
            if entry.value is None:
                continue  # JavaScript's undefined and null: as if it were not there
            value = parse_value(keys.APP_KEYS[name].kind, entry, scope)
            if value is not None:
                values[name] = value
        return values

    def _spec(
        self, values: dict[str, Any], found: Sorted, scope: Scope, also_known: Iterable[str]
    ) -> AppSpec:
        if "script" not in values and (entry := found.known.get("script", _NOTHING)).value is None:
            hint = meant_for_script(found.unknown, also_known)
            scope.error(f'script is missing: say what to run, e.g. script = "app.js"{hint}', entry.spelling)
        account: Account | None = values.pop("uid", None)
        cwd = self._cwd(values, scope)
        # Of a user without a name the one that we have is another's.
        names = _USER_NAMES if account and account.name is None else ()
        deleted = (name for name, value in self.document.env.items() if value is None)
        if unset := tuple(dict.fromkeys((*values.get("unset_env", ()), *deleted, *names))):
            values["unset_env"] = unset
        variables = self._environment(values, found, cwd, account, scope)
        if any(char.isspace() for char in values.get("script", "")) and self.document.is_pm2s:
            self._drop_args(values, cwd, scope)
        program = self._program(values, variables.variables, cwd, scope)
        name = self._name(values, scope)
        if program:
            inherited = self._inherited(values)
            defaults = {name: value for name, value in program.env_defaults.items() if name not in inherited}
            variables = variables._replace(variables={**defaults, **variables.variables, **program.env})
        result = {key: value for key, value in values.items() if key in _FIELDS}
        result |= self._stopping(values, program, scope)
        result |= credentials(values, account, scope, must_exist=self.options.must_exist)
        result["exec_mode"] = _exec_mode(values, program)
        result["preload"] = preloading.resolve(values, program, scope) if program else None
        result |= _readiness(values, program, result["exec_mode"], scope)
        if program and self.options.personality == "pidone" and result["exec_mode"] is ExecMode.CLUSTER:
            result |= told_by_a_line(program.argv, values, cwd, scope)
        if program:
            result |= _defaults(program, values)
        home = variables.variables.get("HOME") or environment.home_of(self.options.environ)
        self._hint_at_sharing(values, result, program, scope)
        result |= _logs(values, cwd, home, result["exec_mode"], is_pm2s=self.document.is_pm2s)
        result["dates_output"] = self.options.personality != "pidone"
        if hooks := {name: values[name] for name in HOOK_NAMES if name in values}:
            result["hooks"] = {**values.get("hooks", {}), **hooks}
        result |= watching.merged(values)
        if values.get("restart_delay") and values.get("exp_backoff_restart_delay"):
            if self.document.is_pm2s:  # there the back-off alone counts
                result.pop("restart_delay")
            else:
                scope.warn("restart_delay comes on top of exp_backoff_restart_delay", "restart_delay")
        consistency.check_memory(values, scope)
        consistency.check_age(values, result, scope)
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
                "templates": variables.templates,
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
    ) -> environment.EnvironmentLayer:
        environ = self.options.environ
        # What a JavaScript file put into its process.env its apps inherit, as under PM2.
        left = Entry("process.env", {**self.document.env})
        merged: dict[str, str] = parse_value(tables.ENV, left, self.top) or {}
        if account:
            merged["HOME"] = account.home or "/"
            if account.name:
                merged |= dict.fromkeys(_USER_NAMES, account.name)
        files = [
            file
            for file in values.get("env_file", ())
            if self.options.must_exist or os.path.isfile(cwd / file.path)
        ]
        merged |= environment.read_env_files(files, cwd, environ, scope)
        merged |= values.get("env", {})
        if "port" in values:
            merged["PORT"] = str(values["port"])
        merged |= self._deploy_environment()  # over `env`, as in pm2 7
        chosen = found.sets.get(self.options.env_name or "")
        for set_name, entry in found.sets.items():
            variables = self._set(set_name, entry, scope)
            if variables is not None and set_name == self.options.env_name and chosen:
                unset = pm2.unset_by(entry.value) if self.document.is_pm2s else ()
                merged = {name: text for name, text in merged.items() if name not in unset} | variables
        if self.document.is_pm2s and (counted := values.get("increment_var")):
            merged |= pm2.first_of(counted, {**self._inherited(values), **merged}.get(counted), scope)
        secrets: dict[str, str] = {}
        if self.options.must_exist:
            secrets = environment.read_secrets(values.get("secrets", False), merged, environ, cwd, scope)
        return environment.layer({**merged, **secrets}, tuple(secrets))

    def _set(self, name: str, entry: Entry, scope: Scope) -> dict[str, str] | None:
        """The variables of an `env_NAME`, wanted or not: what is wrong in them is told."""
        if entry.value is None:
            return None
        if self.document.is_pm2s:
            if not isinstance(entry.value, Mapping):
                scope.warn(f"{entry.spelling}: ignored, as it is no object of variables", entry.spelling)
                return None
            if name == "file":
                scope.notice(
                    "env_file: an object is the environment of `--env file`, as under PM2", entry.spelling
                )
        variables: dict[str, str] | None = parse_value(tables.ENV, entry, scope)
        return variables

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
        if script is None or (
            self.options.must_exist and not os.path.isdir(cwd)
        ):  # the latter is told already
            return None
        return resolve_program(
            ProgramRequest(
                script=_real_node(script),
                args=(*values.get("args", ()), *self.options.args),
                interpreter=_real_node(values.get("interpreter")),
                interpreter_args=values.get("interpreter_args", ()),
                cwd=cwd,
                env={
                    "PATH": self.options.environ.get("PATH", os.defpath),
                    **self._inherited(values),
                    **variables,
                },
                cluster=values.get("exec_mode") is ExecMode.CLUSTER,
                must_exist=self.options.must_exist,
            ),
            scope,
        )

    def _inherited(self, values: Mapping[str, Any]) -> Mapping[str, str]:
        unset = values.get("unset_env", ())
        inherited = {} if values.get("filter_env") is True else self.options.environ
        return {name: value for name, value in inherited.items() if name not in unset} if unset else inherited

    def _hint_at_sharing(
        self, values: Mapping[str, Any], result: Mapping[str, Any], program: Program | None, scope: Scope
    ) -> None:
        """Name what would let instances share their ports, where nothing does."""
        shares = result["exec_mode"] is ExecMode.CLUSTER or values.get("share") or result.get("listen")
        if shares or not self.options.hints or values.get("instances", 1) == 1:
            return
        if program is None or program.is_node or values.get("increment_var"):
            return
        way = "python" if "PYTHONUNBUFFERED" in program.env_defaults else "kernel"
        scope.notice(
            f'instances: nothing here shares a port among the instances; share = "{way}" does, or'
            " listen = [PORT] for a server that takes sockets",
            "instances",
        )

    def _drop_args(self, values: dict[str, Any], cwd: Path, scope: Scope) -> None:
        """PM2 hands a script with blanks to a shell, which does not pass `args` on."""
        if values.get("args") and not os.path.isfile(cwd / values["script"]):
            scope.warn(
                "args: a script with blanks does not get them, as under PM2; write them into script", "args"
            )
            del values["args"]

    def _folder_of(self, needed: str, cwd: Path, scope: Scope) -> Path:
        """The folder to start in: PM2 takes its own working directory, many files mean theirs."""
        source = self.document.source
        if self.document.strict or source is None or any(char.isspace() for char in needed) or "\0" in needed:
            return cwd
        folder = (self.options.cwd / source).parent
        if not os.path.exists(cwd / needed) and os.path.exists(folder / needed):
            scope.notice(f"{shown(needed)} is not in {cwd}; the file's own folder is used as cwd", "script")
            return Path(os.path.normpath(folder))
        return cwd

    def _name(self, values: Mapping[str, Any], scope: Scope) -> str:
        name = values.get("name") or _named_after((values.get("script") or "app").replace("\0", "")) or "app"
        if not name.isprintable() or len(name) > _LONGEST_NAME or not name.strip():
            scope.error(
                f"name = {shown(name)}: expected a printable name of at most {_LONGEST_NAME} characters",
                "name",
            )
        else:
            for pattern, meaning in _OTHER_TARGETS.items():
                if re.fullmatch(pattern, name):
                    scope.warn(f"name = {shown(name)}: to commands this means the app, not {meaning}", "name")
        if values.get("append_env_to_name") and self.options.env_name:
            name = f"{name}-{self.options.env_name}"
        prefix = values.get("name_prefix")
        return f"{prefix}:{name}" if prefix else name

    def _stopping(self, values: Mapping[str, Any], program: Program | None, scope: Scope) -> dict[str, Any]:
        """PM2's `treekill`; its own defaults and variables under its name, else what the program wants."""
        tree = {} if values.get("treekill", True) else {"kill_mode": KillMode.PROCESS}
        if self.options.personality == "pidone":
            own = {} if program is None or "kill_signal" in values else _own_signal(program, scope)
            return own | (tree if "kill_mode" not in values else {})
        environ = self.options.environ
        defaults: dict[str, Any] = {
            "kill_signal": self._pm2_kill_signal(),
            "kill_timeout": self._pm2_milliseconds("PM2_KILL_TIMEOUT", 1.6),
            "listen_timeout": self._pm2_milliseconds("PM2_GRACEFUL_LISTEN_TIMEOUT", 3.0),
            "kill_mode": KillMode.TREE,
            **tree,
            "stdin": "pipe",
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


def _own_signal(program: Program, scope: Scope) -> dict[str, int]:
    """The signal by which a known program stops in order."""
    wanted = graceful_signal(program.argv)
    if wanted is None:
        return {}
    scope.notice(
        f"{os.path.basename(wanted.program)} stops in order by {wanted.signal}, and gets that; "
        f'kill_signal = "SIGTERM" if you want {wanted.otherwise}',
        "script",
    )
    return {"kill_signal": parse_signal(wanted.signal)}


def _label(index: int, raw: Mapping[str, object]) -> str:
    name = raw.get("name")
    return shown(name) if isinstance(name, str) and name else f"#{index + 1}"


def _real_node(program: T) -> T | str:
    """`process.execPath` of a JavaScript file, which is a stand-in where Node is elsewhere, as that Node."""
    return "node" if program == NODE_PATH and not os.path.exists(NODE_PATH) else program


def _named_after(script: str) -> str:
    """The script's file name; of a command line that tells a secret only its program's: names are public."""
    words = script.split()
    if len(words) > 1 and mask_args([script], mask_named) != [script]:
        script = next((word for word in words if "=" not in word), "")
    return Path(script).stem


def _why_no_folder(path: Path) -> str:
    try:
        if not path.exists():
            return f"no such folder ({path})"
        if not path.is_dir():
            return "is not a folder"
    except (OSError, ValueError) as error:
        return f"cannot be used: {getattr(error, 'strerror', None) or error}"
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
    if program is None:  # it is not there yet: PM2 goes by the name as well
        is_node = "interpreter" not in values and values.get("script", "").endswith((".js", ".cjs", ".mjs"))
    else:
        is_node = program.is_node
    return ExecMode.CLUSTER if "instances" in values and is_node else ExecMode.FORK


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


def _logs(
    values: Mapping[str, Any], cwd: Path, home: str, mode: ExecMode, *, is_pm2s: bool
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in _LOG_FILES:
        path = values.get(key)
        if path:
            found[key] = os.path.normpath(cwd / (home + path[1:] if path.startswith("~/") else path))
    if values.get("time") and (is_pm2s or "log_date_format" not in values):
        found["log_date_format"] = TIME_FORMAT
    if values.get("log_type") == "raw":
        found["log_type"] = None
    if "merge_logs" not in values:
        found["merge_logs"] = "instances" not in values and mode is ExecMode.FORK
    if "logs_by_id" not in values:
        found["logs_by_id"] = (
            is_pm2s and any(found.values()) and not found.get("merge_logs", values.get("merge_logs"))
        )
    return found


def _scheduled(values: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
    """A job runs when its time has come, and only then."""
    if not values.get("schedule"):
        return {}
    for key, what in (("autorestart", "restarted"), ("essential", "essential")):
        if values.get(key):
            scope.warn(f"{key} has no effect beside schedule: a job that ends is not {what}", key)
    return {"autorestart": False, "essential": False}
