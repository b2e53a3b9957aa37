"""The table of commands: which words there are, where `--help` lists them, and which module has each.

Imports nothing: it is read before anything is known about what was asked for.
"""

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
