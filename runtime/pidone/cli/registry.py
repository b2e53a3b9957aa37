"""The table of commands: which words there are, where `--help` lists them, and which module has each.

Imports nothing but os: it is read before anything is known about what was asked for, and as process 1 before
there are signal handlers.
"""

import os

_PREPARE = "pidone.cli.prepare."
_OPERATE = "pidone.cli.operate."
COMMANDS = {
    **{name: _PREPARE + name for name in ("check", "convert", "init", "prove", "schema", "smoke")},
    **dict.fromkeys(("ls", "list", "ps", "status", "describe", "env"), _OPERATE + "showing"),
    **dict.fromkeys(("jlist", "prettylist"), _OPERATE + "showing"),
    **dict.fromkeys(("start", "stop", "restart", "reload", "delete", "scale"), _OPERATE + "acting"),
    **dict.fromkeys(("signal", "send", "trigger", "reset", "flush", "reopen"), _OPERATE + "acting"),
    **dict.fromkeys(("wait", "health", "drain", "undrain", "prestop"), _OPERATE + "waiting"),
    "logs": _OPERATE + "logs",
    "monit": _OPERATE + "monit.command",
    "save": _OPERATE + "saving",
    **dict.fromkeys(("completion", "complete"), "pidone.cli.completion"),
}
"""Commands that end by themselves, and the modules that have them."""
TOPICS = {
    "Run": ("start", "exec"),
    "Prepare": ("init", "check", "convert", "schema", "smoke", "prove"),
    "Look": ("ls", "describe", "env", "logs", "monit", "jlist", "prettylist"),
    "Act": (
        *("stop", "restart", "reload", "scale", "delete", "signal", "send", "trigger", "reset", "flush"),
        *("reopen", "save"),
    ),
    "Probes, hooks and scripts": ("health", "wait", "drain", "undrain", "prestop"),
    "Shell": ("completion",),
}
"""What `pidone --help` shows where; other names are spellings of these."""

INIT_NAMES = ("tini", "tini-static", "docker-init", "dumb-init")
"""Names under which we are what they are; `pidone exec` is the same."""
PM2_NAMES = ("pm2-runtime", "pm2-docker")
SHELLS = ("sh", "ash", "bash", "busybox", "csh", "dash", "fish", "ksh", "mksh", "tcsh", "zsh")

START = "start"
"""Become the runtime of a FILE, SCRIPT or `-- COMMAND`; also whatever is wrong and has to be told."""
COMMAND = "command"
"""One of our commands."""
PROGRAM = "program"
"""Somebody else's: run as `pidone exec -- ` would run it."""
OTHER_NAME = "other name"
"""What we are under the name that is the first word."""
HELP = "help"
VERSION = "version"

_FIXED = {
    **dict.fromkeys(("help", "-h", "--help"), HELP),
    **dict.fromkeys(("version", "-v", "-V", "--version"), VERSION),
    "exec": PROGRAM,
}
_NAMES = {
    **dict.fromkeys((*INIT_NAMES, *PM2_NAMES, "pm2"), OTHER_NAME),
    **dict.fromkeys(SHELLS, PROGRAM),
}
"""With or without a folder."""

ECOSYSTEMS = (".toml", ".json", ".yaml", ".yml")
"""Endings of files that are read and never run."""


def plain_meaning(words: list[str]) -> str | None:
    """What `pidone WORDS...` asks for; None if that takes a closer look (first_word.py)."""
    first = words[0] if words else ""
    fixed = _FIXED.get(first) or _NAMES.get(first.rpartition("/")[2])
    if fixed is not None:
        return fixed
    if not first or first.startswith("-"):
        return START
    # By their names, for nobody hears a signal yet, and a file system may not answer.
    if first.endswith(ECOSYSTEMS) or (words[1:] == [] and ("/" in first or os.path.isfile(first))):
        return START
    return None
