"""The command line of Python, taken apart: which interpreter with which options, and what that is to run.

What Python reads of it is in Modules/main.c and https://docs.python.org/3/using/cmdline.html.
"""

import os
from collections.abc import Mapping
from typing import Final

from pidone.ecosystem.spec import AppSpec, Seconds
from pidone.listen import needs
from pidone.record import Record
from pidone.regular import shebang

_PATIENCE_S: Final[Seconds] = 2.0
_WITH_VALUE: Final = ("W", "X")
_LONG_WITH_VALUE: Final = ("--check-hash-based-pycs",)


class PythonCommand(Record):
    """`interpreter` runs `words`: `-m` and a module, or a file, and its arguments."""

    interpreter: tuple[str, ...]
    words: tuple[str, ...]


def command_of(app: AppSpec, argv: tuple[str, ...], env: Mapping[str, str]) -> PythonCommand | None:
    """As `python_command`; a child looks where the app's file system may not answer. Raises OSError then."""
    if app.remote is None:
        return python_command(argv, env)
    from pidone.init.aside import ASIDE  # noqa: PLC0415 (few file systems may hang)

    found = ASIDE.ask("/".join(app.key()), lambda: _fields(python_command(argv, env)), patience=_PATIENCE_S)
    return None if found is None else PythonCommand(*found)


def _fields(command: PythonCommand | None) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    return None if command is None else (command.interpreter, command.words)


def python_command(argv: tuple[str, ...], env: Mapping[str, str]) -> PythonCommand | None:
    """Take a command line apart; None if it is not one of Python's with a module or a file.

    `env` is what the app will see: a first line may have the interpreter looked up in PATH.
    """
    if needs.is_interpreter(argv[0]):
        return _after_interpreter(argv)
    words = shebang(argv[0])
    if words and os.path.basename(words[0]) == "env":
        words = [_in_path(words[1], env), *words[2:]] if len(words) > 1 else []
    if not words or not needs.is_interpreter(words[0]):
        return None
    return PythonCommand(tuple(words), argv)


def _after_interpreter(argv: tuple[str, ...]) -> PythonCommand | None:
    at = 1
    while at < len(argv):
        word = argv[at]
        if not word.startswith("-"):
            return None if os.path.isdir(word) else PythonCommand(argv[:at], argv[at:])
        if word in _LONG_WITH_VALUE:
            at += 2
            continue
        if word == "-" or word.startswith("--"):
            return None
        letters = word[1:]
        for place, letter in enumerate(letters):
            if letter == "c":
                return None
            if letter == "m":
                options = (f"-{letters[:place]}",) if place else ()
                module = (letters[place + 1 :],) if place + 1 < len(letters) else argv[at + 1 : at + 2]
                rest = argv[at + 1 :] if place + 1 < len(letters) else argv[at + 2 :]
                return PythonCommand((*argv[:at], *options), ("-m", *module, *rest)) if module else None
            if letter in _WITH_VALUE:
                at += place + 1 == len(letters)
                break
        at += 1
    return None


def _in_path(name: str, env: Mapping[str, str]) -> str:
    for folder in env.get("PATH", os.defpath).split(":"):
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK):
            return path
    return name
