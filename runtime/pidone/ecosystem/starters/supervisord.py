"""A supervisord.conf (http://supervisord.org/configuration.html) as an ecosystem."""

import glob
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from configparser import Error, RawConfigParser
from pathlib import Path
from typing import Any, Final

from pidone.ecosystem.output.convert import Tables
from pidone.ecosystem.references import escape
from pidone.ecosystem.values import Invalid, parse_bool
from pidone.errors import ConfigError

_PROGRAM: Final = "program:"
_NOT_RUN: Final = frozenset({"eventlistener", "fcgi-program", "rpcinterface", "inet_http_server"})
_SECONDS: Final = {"startsecs": "min_uptime", "stopwaitsecs": "kill_timeout"}
_AS_THEY_ARE: Final = {
    "user": "uid",
    "umask": "umask",
    "stopsignal": "kill_signal",
    "stdout_logfile_maxbytes": "log_max_size",
    "stdout_logfile_backups": "log_retain",
}
_NUMBERS: Final = {"startretries": "max_restarts", "numprocs": "instances"}
_FILES: Final = {"stdout_logfile": "out_file", "stderr_logfile": "error_file"}
_NO_FILE: Final = ("NONE", "AUTO", "SYSLOG")
_HANDLED: Final = frozenset(
    (
        "command", "directory", "environment", "autostart", "autorestart", "exitcodes", "killasgroup",
        "stopasgroup", "priority", "redirect_stderr", "numprocs_start", *_SECONDS,
        *_AS_THEY_ARE, *_NUMBERS, *_FILES,
    )
)  # fmt: skip
_INSTANCE: Final = "$NODE_APP_INSTANCE"
_ALIKE: Final = ("directory", "user")
"""What all instances of an app have in common."""
_COUNTED: Final = r"(\d+)(?:\$\(printf %0(\d+)d \$NODE_APP_INSTANCE\)|\$NODE_APP_INSTANCE())"


def from_supervisord(path: Path) -> Tables:
    """One app per program, in the order of their priorities. Raises ConfigError."""
    parser = _read(path)
    everywhere = parser.get("supervisord", "environment", fallback="")
    namespaces = _namespaces(parser)
    names = [section for section in parser.sections() if section.startswith(_PROGRAM)]
    names.sort(key=lambda section: int(parser[section].get("priority", "999")))
    apps, left_out = [], []
    for section in names:
        name = section.removeprefix(_PROGRAM).strip()
        count = parser[section].get("numprocs", "1")
        known = {"program_name": name, "group_name": namespaces.get(name, name), "numprocs": count}
        program = {key: _expanded(value, known) for key, value in parser[section].items()}
        shared = _variables(_expanded(everywhere, known))
        app = _app(name, program, shared)
        if name in namespaces:
            app["namespace"] = namespaces[name]
        apps.append(app)
        counted = {
            key for key, value in _variables(program.get("environment", "")).items() if _INSTANCE in value
        }
        lost = (f"{key} of environment" for key in sorted(counted - {app.get("increment_var")}))
        alike = (f"%(process_num) of {key}" for key in _ALIKE if _INSTANCE in program.get(key, ""))
        left_out.append((*(key for key in program if key not in _HANDLED), *lost, *alike))
    others = [each for each in parser.sections() if each.partition(":")[0] in _NOT_RUN]
    remarks: tuple[str, ...] = (
        (f"Left out, because it has no meaning here: {', '.join(others)}.",) if others else ()
    )
    if any("priority" in parser[section] for section in names):
        remarks += ("The order is that of priority; depends_on makes apps wait for others.",)
    return Tables(apps=tuple(apps), left_out=tuple(left_out), remarks=remarks)


def _read(path: Path) -> RawConfigParser:
    parser = RawConfigParser(inline_comment_prefixes=(";", "#"), strict=False)
    try:
        parser.read_string(path.read_text(errors="replace"), str(path))
        for pattern in parser.get("include", "files", fallback="").split():
            files = os.path.join(path.parent, pattern.replace("%(here)s", str(path.parent)))
            for included in sorted(glob.glob(files)):
                parser.read_string(Path(included).read_text(errors="replace"), included)
    except (Error, OSError) as error:
        raise ConfigError(f"{path}: " + " ".join(str(error).split())) from None
    return parser


def _namespaces(parser: RawConfigParser) -> Mapping[str, str]:
    groups = [section for section in parser.sections() if section.startswith("group:")]
    return {
        name.strip(): group.removeprefix("group:").strip()
        for group in groups
        for name in parser[group].get("programs", "").split(",")
    }


def _expanded(value: str, known: Mapping[str, str]) -> str:
    """Its `%(...)s` in our words. `here` is the file's folder, where a relative cwd starts as well."""
    value = re.sub(r"%\(ENV_(\w+)\)[sd]", r"%{\1}", escape(value))
    value = re.sub(rf"%\(({'|'.join(known)})\)[sd]", lambda found: known[found[1]], value)
    value = re.sub(r"%\(process_num\)([-+ #]*)(0\d+)?(\d*)([sdixXo])", _number, value)
    value = value.replace("%(here)s", ".")
    value = value.replace("%(host_node_name)s", "%{HOSTNAME:-localhost}")
    return value.replace("%{", "${").replace("%%", "%")


def _number(found: re.Match[str]) -> str:
    """The number of the instance, as the shell writes it."""
    flags, padding, width, kind = found.groups(default="")
    if not padding and kind in "sdi" and "+" not in flags:  # blanks around it are nothing to a shell
        return _INSTANCE
    return f"$(printf %{flags}{padding}{width}{kind.replace('s', 'd')} {_INSTANCE})"


def _app(name: str, program: Mapping[str, str], shared: Mapping[str, str]) -> dict[str, Any]:
    start = program.get("numprocs_start", "0").strip()
    first = int(start) if start.isdecimal() else 0
    app: dict[str, Any] = {"name": name, **_command(program.get("command", ""), first)}
    if "directory" in program and _INSTANCE not in program["directory"]:
        app["cwd"] = program["directory"]
    if variables := {**shared, **_variables(program.get("environment", ""))}:
        app["env"] = _plain(variables)
        app |= _counted(variables, first)
    app |= _restarts(program)
    app |= {ours: f"{program[theirs]}s" for theirs, ours in _SECONDS.items() if theirs in program}
    app |= {ours: program[theirs] for theirs, ours in _AS_THEY_ARE.items() if program.get(theirs)}
    app |= {ours: _whole(program[theirs]) for theirs, ours in _NUMBERS.items() if theirs in program}
    if app.get("instances") == 1:
        del app["instances"]
    for theirs, ours in _FILES.items():
        file = program.get(theirs, "NONE")
        file = re.sub(rf"[-_.]?(\$\(printf \S+ \{_INSTANCE}\)|\{_INSTANCE})", "", file)  # we number them
        if file.upper() not in _NO_FILE and not file.startswith(("/dev/", "/proc/")):
            app[ours] = file
    if "out_file" not in app:  # then the rest of what is about log files means nothing
        for key in ("log_max_size", "log_retain"):
            app.pop(key, None)
    return app


def _counted(variables: Mapping[str, str], first: int) -> dict[str, Any]:
    """`PORT=91%(process_num)02d`: a number that grows by one with each instance."""
    for name, value in variables.items():
        if _INSTANCE in value and (number := re.fullmatch(_COUNTED, value)):
            padding = int(number[2] or number[3] or "1")
            return {
                "increment_var": name,
                "env": {**_plain(variables), name: number[1] + str(first).zfill(padding)},
            }
    return {}


def _plain(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if _INSTANCE not in value}


def _command(command: str, first: int) -> Mapping[str, Any]:
    """supervisord uses no shell; we need one only for the number of the instance, from `first` on."""
    if _INSTANCE in command:
        return {
            "script": command.replace(_INSTANCE, f"$((NODE_APP_INSTANCE + {first}))" if first else _INSTANCE)
        }
    try:
        script, *args = shlex.split(command) or [""]
    except ValueError as error:
        raise ConfigError(f"command={command}: {error}") from None
    return {"script": script, "args": args} if args else {"script": script}


def _restarts(program: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """`unexpected`, the default: not after an expected exit code."""
    if "autostart" in program:
        yield "autostart", _yes(program["autostart"])
    wanted = program.get("autorestart", "unexpected").lower()
    codes = [_whole(code) for code in program.get("exitcodes", "0").split(",") if code.strip()]
    if wanted == "unexpected":
        yield "stop_exit_codes", codes
    elif not _yes(wanted):
        yield "autorestart", False
    if codes != [0]:
        yield "success_exit_codes", codes
    if _yes(program.get("stopasgroup", "false")) is True:
        yield "kill_mode", "tree"


def _whole(text: str) -> int | str:
    return int(text) if text.strip().isdecimal() else text.strip()


def _yes(text: str) -> bool | str:
    try:
        return parse_bool(text)
    except Invalid:
        return text


def _variables(text: str) -> dict[str, str]:
    """`KEY="value",KEY2=value`, quoted as by a shell."""
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace, lexer.whitespace_split = ",\n", True
    try:
        pairs = [word.strip().partition("=") for word in lexer]
    except ValueError as error:
        raise ConfigError(f"environment={text}: {error}") from None
    return {name.strip(): value for name, equals, value in pairs if equals}
