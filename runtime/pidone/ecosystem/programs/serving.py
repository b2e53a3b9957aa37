"""Apps whose script is `serve`, PM2's static file server: `pidone.fileserver`, told by PM2's variables.

The port is opened by the runtime, so that instances share it and a reload loses nothing.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pidone.ecosystem.problems import Scope, shown
from pidone.ecosystem.spec import Listen, Readiness
from pidone.ecosystem.values import Invalid
from pidone.ecosystem.values.kinds import integer
from pidone.ecosystem.values.network import LISTEN
from pidone.interpreter import module_argv

SCRIPT: Final = "serve"
VARIABLES: Final = "PM2_SERVE_"
PORT_VARIABLE: Final = f"{VARIABLES}PORT"
DEFAULT_PORT: Final = "8080"
PORT: Final = integer(1, 65535)


class FileServer(NamedTuple):
    """The file server as a program."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    defaults: Mapping[str, Any]
    """Keys whose defaults are others than for other programs."""


def what_must_be_there(values: Mapping[str, Any]) -> str | None:
    """The path that an app cannot do without: its script, or the folder it serves."""
    script: str | None = values.get("script")
    return values.get("env", {}).get(f"{VARIABLES}PATH") if script == SCRIPT else script


def server(
    args: tuple[str, ...], env: Mapping[str, str], cwd: Path, scope: Scope, *, must_exist: bool
) -> FileServer:
    """The program of an app whose script is `serve`; `env` is what the app will see."""
    found = {
        **_from_arguments(args, scope),
        **{k: v for k, v in env.items() if k.startswith(VARIABLES) and v},
    }
    folder = found.get(f"{VARIABLES}PATH", ".")
    folder = os.path.normpath(cwd / (env.get("HOME", "/") + folder[1:] if folder.startswith("~") else folder))
    try:
        is_there = os.path.isdir(folder)
    except ValueError:  # a NUL
        is_there = False
    if must_exist and not is_there:
        scope.warn(f"it serves {shown(folder)}, which is no folder yet: everything will be 404", "script")
    found[f"{VARIABLES}PATH"] = folder
    found.setdefault(PORT_VARIABLE, DEFAULT_PORT)
    return FileServer(
        argv=module_argv("pidone.fileserver"),
        env=found,
        defaults={"listen": _listen(found, scope), "ready": Readiness(notify=True)},
    )


def _from_arguments(args: tuple[str, ...], scope: Scope) -> dict[str, str]:
    """`PATH PORT HOST`, `--spa` and the like, as of `pm2 serve`."""
    found: dict[str, str] = {}
    names: Iterator[str] = iter(("PATH", "PORT", "HOST"))
    words = iter(args)
    for word in words:
        option, given, value = word.partition("=")
        if option in ("--spa", "--ftp"):
            found[VARIABLES + option[2:].upper()] = "true"
        elif option == "--port":
            found[PORT_VARIABLE] = value if given else next(words, "")
        elif option.startswith("-") or (name := next(names, None)) is None:
            scope.warn(f"args: the static file server does not know {shown(word)}", "args")
        else:
            found[VARIABLES + name] = word
    return found


def _listen(found: Mapping[str, str], scope: Scope) -> tuple[Listen, ...]:
    port, host = found[PORT_VARIABLE], found.get(f"{VARIABLES}HOST", "")
    try:
        number = PORT.parse(port)
    except Invalid as invalid:
        scope.error(f"{PORT_VARIABLE} = {shown(port)}: {invalid.expected}", "env", PORT_VARIABLE)
        return ()
    try:
        opened: tuple[Listen, ...] = LISTEN.parse({"name": "http", "host": host, "port": number})
    except Invalid:
        scope.error(
            f"{VARIABLES}HOST = {shown(host)}: expected an address or the name of one",
            "env",
            f"{VARIABLES}HOST",
        )
        return ()
    return opened
