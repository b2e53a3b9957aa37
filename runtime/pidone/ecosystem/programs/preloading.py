"""What `preload` means for a command line: which module the known servers of Python are told to serve.

By their own documentation: `uvicorn [OPTIONS] APP`, `gunicorn [OPTIONS] [APP_MODULE]`, `hypercorn [OPTIONS]
APP`, where the last is `MODULE:ATTRIBUTE`, or for gunicorn the module alone.
"""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pidone.ecosystem.problems import Scope, shown
from pidone.ecosystem.programs.program import Program

_APP: Final = r"[A-Za-z_]\w*(\.\w+)*:[A-Za-z_][\w.]*"
_MODULE: Final = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"
_SERVERS: Final[Mapping[str, tuple[str, ...]]] = {
    "uvicorn": (
        "uvicorn.main",
        "uvicorn.lifespan.on",
        "uvicorn.loops.auto",
        "uvicorn.loops.uvloop",
        "uvicorn.protocols.http.auto",
        "uvicorn.protocols.websockets.auto",
        "uvloop",
    ),
    "gunicorn": ("gunicorn.app.wsgiapp", "gunicorn.arbiter", "gunicorn.workers.sync"),
    "hypercorn": ("hypercorn.__main__", "hypercorn.asyncio.run"),
}
"""What each would import by itself, when it is late."""
LATE: Final[Mapping[str, str]] = {"anyio": "anyio._backends._asyncio", "asyncio": "encodings.idna"}
"""What has been loaded, and what it loads when it is first used."""
_FOLDERS: Final = {"uvicorn": ("--app-dir",), "gunicorn": ("--chdir", "--pythonpath"), "hypercorn": ()}
"""Options that say where its app is found; without any that is the folder it is started in."""
_CLASSES: Final = ("-k", "--worker-class")


def resolve(values: Mapping[str, Any], program: Program, scope: Scope) -> str | None:
    """What an app's key `preload` has imported; None for nothing, also after what is wrong has been told."""
    wanted: bool | str = values.get("preload", False)
    if not wanted:
        return None
    if not program.is_python:
        scope.error(
            f"preload: {shown(values['script'])} is not run by Python, whose apps alone can be", "preload"
        )
        return None
    if values.get("share") == "kernel":
        scope.error('preload: share = "kernel" is for programs that are started; leave share out', "share")
    if isinstance(wanted, str):
        return wanted
    found = target_of(program.argv)
    if found is None:
        known = ", ".join(_SERVERS)
        scope.error(
            f"preload = true: takes a command line of {known} that names the app; else say what to import, "
            'e.g. preload = "myapp.wsgi:app"',
            "preload",
        )
    return found


def server_of(argv: Sequence[str]) -> str | None:
    """Which known server a command line starts, by its own script or by `-m`."""
    names = (os.path.basename(word) for word in argv[:8])
    return next((name for name in names if name in _SERVERS), None)


def target_of(argv: Sequence[str]) -> str | None:
    """What `preload = true` imports; None if the command line does not tell."""
    server = server_of(argv)
    if server is None:
        return None
    words = list(argv[[os.path.basename(word) for word in argv].index(server) + 1 :])
    found = next((match[0] for word in words if (match := re.match(_APP, word))), None)
    if found is None and server == "gunicorn" and words and re.fullmatch(_MODULE, words[-1]):
        is_value = len(words) > 1 and words[-2].startswith("-") and "=" not in words[-2]
        return None if is_value else words[-1]
    return found


def modules_of(argv: Sequence[str]) -> tuple[str, ...]:
    """What the server itself needs, its class of workers included; nothing for other programs."""
    server = server_of(argv)
    if server is None:
        return ()
    classes = [value.rpartition(".")[0] for value in _values(argv, _CLASSES) if "." in value]
    return (*_SERVERS[server], *classes)


def folders_of(argv: Sequence[str], cwd: str) -> tuple[str, ...]:
    """Where a known server looks for its app before anything else; nothing for other programs."""
    server = server_of(argv)
    if server is None:
        return ()
    named = [part for value in _values(argv, _FOLDERS[server]) for part in value.split(",") if part]
    return tuple(os.path.normpath(os.path.join(cwd, folder)) for folder in named) or (cwd,)


def _values(argv: Sequence[str], options: Sequence[str]) -> list[str]:
    """The values of options, however they are attached."""
    found = []
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        name, given, value = word.partition("=")
        if name in options:
            found.append(value if given else following)
    return found
