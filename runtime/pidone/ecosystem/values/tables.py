"""Values that are tables or small languages of their own: variables, dependencies, log files, schedules."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from pidone import signames
from pidone.ecosystem import dotenv
from pidone.ecosystem.byte_pattern import byte_pattern
from pidone.ecosystem.problems import did_you_mean
from pidone.ecosystem.spec import Condition, Dependency, Hook
from pidone.ecosystem.values import (
    NUMBER,
    Invalid,
    ValueKind,
    WrongValue,
    each,
    fragments,
    number,
    parse_bool,
    parse_list,
    parse_names,
    parse_string,
    scalar_text,
)
from pidone.ecosystem.values.kinds import (
    BOOL,
    DURATION,
    SIGNAL,
    SIGNAL_SPELLINGS,
    STRING,
    WORDS,
    choice,
    integer,
    list_of,
    parse_pattern,
    parse_signal,
)

_LONGEST_NAME: Final = 1000


def parse_table(value: object, members: Mapping[str, ValueKind], *, required: str = "") -> dict[str, Any]:
    """The resolved members of a table of ours. Everything wrong in it is found, unknown members included."""
    if not isinstance(value, Mapping):
        raise Invalid("expected a table")

    def read(name: object, member: object) -> tuple[str, Any]:
        kind = members.get(name) if isinstance(name, str) else None
        if kind is None:
            known = did_you_mean(str(name), members) or "; known are " + ", ".join(members)
            raise Invalid(f"unknown key{known}")
        return str(name), None if member is None else kind.parse(member)

    result = {name: member for name, member in each(value.items(), read) if member is not None}
    if required and required not in result:
        raise Invalid(findings=[WrongValue((required,), None, "is missing")])
    return result


def table_schema(members: Mapping[str, ValueKind]) -> dict[str, object]:
    """The JSON Schema of such a table."""
    return {
        "type": "object",
        "properties": {name: fragments.or_null(kind.schema) for name, kind in members.items()},
        "additionalProperties": False,
    }


# Variables --------------------------------------------------------------------------------------------------


def variable_name(name: object) -> str:
    """A name that can stand in an environment."""
    if not isinstance(name, str) or not name or "=" in name or "\0" in name or len(name) > _LONGEST_NAME:
        raise Invalid("expected a variable's name (not empty, no = and no NUL)")
    return name


def _parse_variable(value: object) -> str:
    return variable_name(parse_string(value))


def variable_value(value: object) -> str | None:
    """A variable's text as PM2 makes it: objects as JSON, null and undefined not at all."""
    if value is None:
        return None
    try:
        if isinstance(value, str | int | float):
            text = scalar_text(value)
        else:
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
        text.encode()
    except (ValueError, TypeError, RecursionError):
        raise Invalid("expected text") from None
    if "\0" in text:
        raise Invalid("expected text without NUL characters")
    return text


def parse_environment(value: object) -> dict[str, str]:
    """A table of variables, or text: a JSON object or NAME=VALUE lines."""
    if isinstance(value, str):
        value = _environment_text(value)
    if not isinstance(value, Mapping):
        raise Invalid("expected a table of variables")
    pairs = each(value.items(), lambda name, content: (variable_name(name), variable_value(content)))
    return {name: text for name, text in pairs if text is not None}


def _environment_text(text: str) -> Mapping[str, object]:
    if text.lstrip().startswith("{"):
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError):
            raise Invalid("expected a JSON object of variables") from None
        if isinstance(parsed, dict):
            return parsed
    try:
        return dotenv.parse(text, {})
    except dotenv.DotenvError as error:
        raise Invalid(f"expected NAME=VALUE lines ({error})") from None


class EnvFile(NamedTuple):
    """One entry of `env_file`."""

    path: str
    required: bool = True


_ENV_FILE: Final = {"path": STRING, "required": BOOL}


def _parse_env_file(value: object) -> EnvFile:
    if isinstance(value, Mapping):
        return EnvFile(**parse_table(value, _ENV_FILE, required="path"))
    return EnvFile(parse_string(value))


def _parse_env_files(value: object) -> tuple[EnvFile, ...]:
    if value is False or value == "":
        return ()
    return parse_list(value if isinstance(value, list | tuple) else [value], "", _parse_env_file)


def write_env_files(files: tuple[EnvFile, ...]) -> list[object]:
    """As they are written."""
    return [file.path if file.required else {"path": file.path, "required": False} for file in files]


_ENV_FILE_SCHEMA: Final = fragments.either(
    fragments.SCALAR, {**table_schema(_ENV_FILE), "required": ["path"]}
)
ENV_FILES: Final = ValueKind(
    "path, `{path, required}`, or list of them",
    _parse_env_files,
    fragments.either(fragments.OFF, _ENV_FILE_SCHEMA, fragments.listed(_ENV_FILE_SCHEMA)),
    write=write_env_files,
)


def _parse_secrets(value: object) -> bool | Mapping[str, str | None]:
    """True, or variable -> the file it is read from (None: the file that `NAME_FILE` names)."""
    if isinstance(value, bool) or value in ("true", "false"):
        return parse_bool(value)
    if isinstance(value, Mapping):
        return {variable_name(name): parse_string(path) for name, path in value.items()}
    return {variable_name(name.removesuffix("_FILE")): None for name in parse_names(value)}


def _parse_filter(value: object) -> bool | tuple[str, ...]:
    if isinstance(value, bool) or value in ("true", "false"):
        return parse_bool(value)
    if isinstance(value, int | float):
        raise Invalid("expected true, false, or names of variables")
    return parse_names(value)


SECRETS: Final = ValueKind(
    "`true`, list of names, or table of files",
    _parse_secrets,
    fragments.either(fragments.BOOL, fragments.NAMES, fragments.mapped(fragments.SCALAR, names="[^=]+")),
)
FILTER: Final = ValueKind(
    "boolean or list of names",
    _parse_filter,
    fragments.either({"type": "boolean"}, fragments.NAMES),
    write=lambda value: value if isinstance(value, bool) else list(value),
)
FIELDS: Final = ValueKind("table of texts", parse_environment, fragments.VARIABLES, write=dict)


# What others must have done ---------------------------------------------------------------------------------

_CONDITION: Final = choice(
    "started",
    "ready",
    "completed",
    aliases={
        "service_started": "started",
        "service_healthy": "ready",
        "healthy": "ready",
        "service_completed_successfully": "completed",
    },
    enum=Condition,
)
_DEPENDENCY: Final = {"app": STRING, "condition": _CONDITION}


def _parse_dependency(value: object) -> Dependency:
    if isinstance(value, Mapping):
        return Dependency(**parse_table(value, _DEPENDENCY, required="app"))
    return Dependency(app=parse_string(value))


def _parse_dependencies(value: object) -> tuple[Dependency, ...]:
    if not isinstance(value, Mapping) or "app" in value:
        found: tuple[Dependency, ...] = list_of(
            ValueKind("", _parse_dependency, {}), "expected names of apps, or a table of conditions"
        ).parse(value)
        return found

    def named(app: str, condition: object) -> Dependency:
        if isinstance(condition, Mapping):
            return Dependency(app=app, **parse_table(condition, {"condition": _CONDITION}))
        return Dependency(app=app, condition=_CONDITION.parse(condition))

    return tuple(each(value.items(), named))


_DEPENDENCY_SCHEMA: Final = fragments.either(
    fragments.SCALAR, {**table_schema(_DEPENDENCY), "required": ["app"]}
)
DEPENDS_ON: Final = ValueKind(
    "names, or table of conditions",
    _parse_dependencies,
    fragments.either(
        fragments.OFF,
        _DEPENDENCY_SCHEMA,
        fragments.listed(_DEPENDENCY_SCHEMA),
        fragments.mapped(
            fragments.either(_CONDITION.schema, table_schema({"condition": _CONDITION})),
        ),
    ),
    write=lambda value: {dependency.app: str(dependency.condition) for dependency in value},
)


# Ends and signals -------------------------------------------------------------------------------------------


def _parse_soft_action(value: object) -> str:
    if value == "message":
        return "message"
    return signal_name(value, '"message" or a signal such as "SIGUSR2"')


def signal_name(value: object, wanted: str) -> str:
    """A signal's full name, from any spelling of it."""
    try:
        return signames.signal_name(parse_signal(value))
    except Invalid:
        raise Invalid(f"expected {wanted}") from None


_SIGNAL_ACTIONS: Final = frozenset({"stop", "reload", "forward", "reopen", "ignore"})


def _parse_signals(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise Invalid("expected a table of signals")
    return dict(each(value.items(), _signal_action))


def _signal_action(name: object, action: object) -> tuple[str, str]:
    signal = signal_name(name, "a signal such as SIGHUP as the key")
    if signal in ("SIGKILL", "SIGSTOP", "SIGCHLD"):
        raise Invalid("cannot be handled")
    if isinstance(action, str) and action in _SIGNAL_ACTIONS:
        return signal, action
    return signal, signal_name(action, '"stop", "reload", "forward", "reopen", "ignore" or a signal')


EXIT_CODES: Final = list_of(integer(0, 255), "expected exit codes from 0 to 255")
SOFT_ACTION: Final = ValueKind(
    "`message` or signal", _parse_soft_action, fragments.either({"const": "message"}, SIGNAL.schema)
)
SIGNALS: Final = ValueKind(
    "table of signals",
    _parse_signals,
    fragments.mapped(
        fragments.either({"enum": sorted(_SIGNAL_ACTIONS)}, SIGNAL.schema),
        names=rf"\s*(?:{SIGNAL_SPELLINGS})\s*",
    ),
)


# Hooks ------------------------------------------------------------------------------------------------------

HOOK_NAMES: Final = ("pre_start", "post_start", "pre_stop", "post_stop", "on_exit", "on_give_up")
_SHELL_SYNTAX: Final = r"[$`|&;<>()*?~\n]"


def _parse_hook_command(value: object) -> tuple[str, ...]:
    """A list of words, or a text, which needs a shell only where it uses one."""
    if isinstance(value, str) and re.search(_SHELL_SYNTAX, value):
        return ("/bin/sh", "-c", parse_string(value))
    words: tuple[str, ...] = WORDS.parse(value)
    return words


_HOOK_COMMAND: Final = ValueKind(
    "command",
    _parse_hook_command,
    fragments.either({"type": "string", "minLength": 1}, fragments.listed(fragments.SCALAR)),
)
_HOOK: Final = {"command": _HOOK_COMMAND, "timeout": DURATION}


def _parse_hook(value: object) -> Hook:
    hook = (
        Hook(**parse_table(value, _HOOK, required="command"))
        if isinstance(value, Mapping)
        else Hook(command=_HOOK_COMMAND.parse(value))
    )
    if not hook.command:
        raise Invalid("expected a command")
    return hook


HOOK: Final = ValueKind(
    "command",
    _parse_hook,
    fragments.either(_HOOK_COMMAND.schema, {**table_schema(_HOOK), "required": ["command"]}),
)
_HOOKS: Final = dict.fromkeys(HOOK_NAMES, HOOK)
HOOKS: Final = ValueKind("table of commands", lambda value: parse_table(value, _HOOKS), table_schema(_HOOKS))


# Files and lines --------------------------------------------------------------------------------------------


def _parse_log_file(value: object) -> str | None:
    if value is False or value in ("", "NULL", "/dev/null"):
        return None
    if value is True:
        raise Invalid("expected a path (there is no default folder for log files)")
    return parse_string(value)


def _parse_watch(value: object) -> tuple[str, ...]:
    if isinstance(value, bool) or value in ("true", "false"):
        return (".",) if parse_bool(value) else ()
    if isinstance(value, int | float):
        raise Invalid("expected true, false, a path or a list of paths")
    return parse_names(value)


_RETAIN: Final = r"[0-9]{1,6}[dhw]?"


def _parse_retain(value: object) -> str:
    text = parse_string(value).strip()
    if text == "all":
        return text
    if not re.fullmatch(_RETAIN, text):
        raise Invalid('expected a count, an age such as "30d", or "all"')
    return text


def _parse_multiline(value: object) -> str | None:
    if value is False or value == "":
        return None
    if value is True:
        return "auto"
    return _parse_line_pattern(value)


def _parse_patterns(value: object) -> tuple[str, ...]:
    return tuple(map(_parse_line_pattern, parse_names(value)))


def _parse_line_pattern(value: object) -> str:
    """Of lines as they are written, which are bytes."""
    pattern = parse_pattern(value)
    try:
        byte_pattern(pattern)
    except ValueError as error:
        raise Invalid(f"expected a regular expression ({error})") from None
    return pattern


_FASTEST: Final = 10**9


def _parse_rate(value: object) -> int | None:
    if isinstance(value, str):
        value = value.strip().removesuffix("/s")
    if value is False:
        return None
    wanted = "expected lines per second"
    found = number(value, wanted)
    if not 0 <= found <= _FASTEST:
        raise Invalid(wanted)
    return int(found) or None


def _parse_share(value: object) -> str | None:
    if value is False or value in ("", "none"):
        return "none"
    if value in ("python", "kernel"):
        return str(value)
    raise Invalid('expected "python", "kernel" or "none"')


VARIABLE: Final = ValueKind("name of a variable", _parse_variable, fragments.VARIABLE)
OPTIONAL_VARIABLE: Final = ValueKind(
    "name of a variable",
    lambda value: None if value is False or value == "" else _parse_variable(value),
    fragments.either({"enum": [False, ""]}, fragments.VARIABLE),
)
ENV: Final = ValueKind("table of variables", parse_environment, fragments.VARIABLES)
LOG_FILE: Final = ValueKind(
    "path", _parse_log_file, fragments.OPTIONAL_TEXT, write=lambda value: value or "NULL"
)
WATCH: Final = ValueKind(
    "boolean, path or list of paths",
    _parse_watch,
    fragments.either({"type": "boolean"}, fragments.NAMES),
    write=lambda value: list(value) or False,
)
RETAIN: Final = ValueKind(
    "count or age",
    _parse_retain,
    fragments.either(
        {"type": "integer", "minimum": 0, "maximum": 999_999}, fragments.text(rf"{_RETAIN}|all")
    ),
)
MULTILINE: Final = ValueKind(
    "word or pattern", _parse_multiline, fragments.either(fragments.SCALAR, {"type": "boolean"})
)
PATTERNS: Final = ValueKind("pattern or list of patterns", _parse_patterns, fragments.NAMES, write=list)
RATE: Final = ValueKind(
    "lines per second",
    _parse_rate,
    fragments.either(
        {"type": "number", "minimum": 0, "maximum": _FASTEST},
        fragments.OFF,
        fragments.text(rf"{NUMBER}\s*(/s)?"),
    ),
)
_MODULE: Final = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*(\.\w+)*)?"


def _parse_preload(value: object) -> bool | str:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(_MODULE, value.strip()):
        return value.strip()
    raise Invalid('expected true, or what to import: "myapp" or "myapp.wsgi:app"')


PRELOAD: Final = ValueKind(
    "module or true", _parse_preload, fragments.either({"type": "boolean"}, fragments.text(_MODULE))
)
SHARE: Final = ValueKind(
    "`python`, `kernel`, `none`", _parse_share, {"enum": ["python", "kernel", "none", "", False]}
)
