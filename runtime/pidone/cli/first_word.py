"""First words of a command line whose meaning takes a closer look; docs/docker.md has the table.

`ENTRYPOINT ["pidone"]` must not take from an image what every other init and every official image lets people
do: `docker run IMAGE any command`.
"""

import os

from pidone.cli.registry import (
    COMMAND,
    COMMANDS,
    ECOSYSTEMS,
    INIT_NAMES,
    OTHER_NAME,
    PROGRAM,
    START,
    plain_meaning,
)

_OTHER_INITS = (*INIT_NAMES, "catatonit")


def meaning(words: list[str]) -> str:
    """What `pidone WORDS...` asks for."""
    return plain_meaning(words) or closer_meaning(words)


def closer_meaning(words: list[str]) -> str:
    """What they ask for, where the words alone do not say it."""
    first = words[0]
    if first == START:
        return COMMAND if is_target_of_a_runtime(words) else START
    if first in COMMANDS:
        return PROGRAM if is_ambiguous(first) and is_meant_for_a_program(words) else COMMAND
    return PROGRAM if is_program(words) else START


def is_init_of_one(words: list[str]) -> bool:
    """Whether process 1 is no runtime, if it is `pidone WORDS...`, but the init of one command."""
    asked = meaning(words)
    if asked == COMMAND and words[0] != START:
        return is_meant_for_a_program(words)
    return asked == PROGRAM or (asked == OTHER_NAME and words[0].rpartition("/")[2] in INIT_NAMES)


def is_program(words: list[str]) -> bool:
    """Whether words that are neither options nor a command of ours are somebody else's command line."""
    # `SCRIPT -- ARGS` is a start whether the script is in a folder or on PATH.
    is_script = os.path.isfile(words[0]) or words[1:2] == ["--"]
    return _is_called(words) if is_script else bool(program(words[0]))


def is_meant_for_a_program(words: list[str]) -> bool:
    """Whether a command of ours is not meant as ours."""
    return bool(program(words[0])) and not _could_be_ours(words)


def is_ambiguous(command: str) -> bool:
    """Whether one of our commands is a program too, in a container with no runtime that it could talk to."""
    if not program(command) or not _is_first_process():
        return False
    from pidone.control.socket_file import is_served

    return not is_served(os.environ)


def program(word: str) -> str | None:
    """The program that a word names, as execvp(3) finds it."""
    folders = [""] if "/" in word or not word else os.environ.get("PATH", os.defpath).split(":")
    paths = (os.path.join(folder, word) for folder in folders)
    return next((path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)), None)


def _is_first_process() -> bool:
    """Whether we are the container's command: process 1, or the child of an init that is (`--init`)."""
    if os.getpid() == 1:
        return True
    try:
        with open("/proc/1/comm", encoding="utf-8", errors="replace") as file:
            return os.getppid() == 1 and file.read().strip() in _OTHER_INITS
    except OSError:
        return False


def is_target_of_a_runtime(words: list[str]) -> bool:
    """`start` starts a file, or an app of a running runtime."""
    target = words[1] if len(words) > 1 else "-"
    if words[0] != "start" or "--" in words or target.startswith("-"):
        return False
    # Process 1, which hears no signal yet, does not ask a file system that may not answer.
    if (_is_first_process() and target.endswith(ECOSYSTEMS)) or os.path.exists(target):
        return False
    from pidone.control.socket_file import find, is_served

    # Nobody can have been there before the container's own command, even if a socket is named.
    return is_served(os.environ) if _is_first_process() else bool(find(os.environ))


def _is_called(words: list[str]) -> bool:
    """Whether a file is a program with arguments of its own: `./start.sh web` starts nothing of ours."""
    if len(words) == 1 or "/" not in words[0] or not program(words[0]):
        return False
    from pathlib import Path

    from pidone.cli.start import parse
    from pidone.ecosystem.formats import is_ecosystem_file
    from pidone.errors import UsageError

    if is_ecosystem_file(Path(words[0])):
        return False
    try:
        return bool(parse(words).more)
    except UsageError:
        return True


def _could_be_ours(words: list[str]) -> bool:
    """Whether the rest of the line is one that our command takes: `ls api` is, `ls -la` is not."""
    import click

    from pidone.cli.click_app import program as commands

    command = commands.get_command(None, words[0])
    try:
        return command is not None and bool(command.make_context(words[0], words[1:]))
    except click.UsageError:
        return False
    except click.exceptions.Exit:  # --help, which has been answered: not here, but by who runs the command
        return True
