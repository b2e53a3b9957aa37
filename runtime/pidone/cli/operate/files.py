"""A FILE in place of an app: `pidone reload ecosystem.toml` lays it over what runs."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from pidone.cli.operate.client import Client, CommandError
from pidone.ecosystem.spec import Seconds

_READING: Final[Seconds] = 100.0
"""Longer than a file may take to be read (`supervise.run.loading`)."""
_NOT_TOLD: Final = frozenset({"_", "PWD", "OLDPWD", "SHLVL", "TERM", "COLUMNS", "LINES", "LC_CTYPE"})
"""Variables that belong to the shell or terminal of whoever asks, or to our own interpreter."""


def is_file(word: str) -> bool:
    """Whether a target is an ecosystem file. Raises CommandError if it only looks like one."""
    from pidone.ecosystem.formats import is_ecosystem_file

    if not is_ecosystem_file(Path(word)):
        return False
    if not os.path.exists(word) and ("/" in word or word.endswith((".js", ".cjs", ".mjs", ".ts", ".toml"))):
        raise CommandError(f"{word}: no such file, and no app of this name", os.EX_NOINPUT)
    return os.path.isfile(word)


class FileSettings(NamedTuple):
    """How a FILE, or the caller's environment, is laid over what runs."""

    env_name: str | None
    only: Sequence[str]
    update_env: bool


def apply_file(
    runtime: Client, verb: str, file: str, how: FileSettings, environ: Mapping[str, str]
) -> Mapping[str, Any]:
    """Lay it over what runs; which apps it is about, and what reading it had to remark.

    `environ` counts while it is read, and for new apps; with `update_env`, for all of them.
    Raises CommandError, with 78 for a file that is wrong.
    """
    body = {
        "verb": verb,
        "file": file,
        "cwd": os.getcwd(),
        **how._asdict(),
        "environ": dict(environ),
    }
    answer: Mapping[str, Any] = Client(runtime.path, _READING).post("api", "apply", body=body)
    return answer


def apply_environ(runtime: Client, verb: str, target: str) -> Mapping[str, Any]:
    """Lay the variables of this command over those of what runs. Raises CommandError."""
    body = {"verb": verb, "target": target, "environ": told()}
    answer: Mapping[str, Any] = runtime.post("api", "apply", body=body)
    return answer


def told() -> Mapping[str, str]:
    """The variables of this command, for an app or the reading of its file."""
    own = ("PIDONE_", "PM2_")
    return {
        name: value
        for name, value in os.environ.items()
        if name not in _NOT_TOLD and not name.startswith(own)
    }
