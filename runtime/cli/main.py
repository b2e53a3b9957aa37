"""The first words of a command line decide what is imported at all."""

import os
import sys

_INIT_NAMES = ("tini", "tini-static", "docker-init", "dumb-init")
_PM2_NAMES = ("pm2-runtime", "pm2-docker")
_COMMANDS = {
    "check": "runtime.cli.check",
    "convert": "runtime.cli.convert",
    "init": "runtime.cli.init",
    "schema": "runtime.cli.schema",
}
"""Commands that end by themselves and the modules that have them; `pidone start check` starts a file."""


def dispatch(argv: list[str]) -> int:
    """Run `argv` (argv[0] is the name we were called by) and return the exit code."""
    name = argv[0].rpartition("/")[2]
    if name in _INIT_NAMES or (argv[1:2] == ["exec"] and name not in _PM2_NAMES):
        from runtime.init.bare.main import run as run_bare

        os._exit(run_bare(argv))  # finalising the interpreter would only keep others waiting
    words = argv[1:]
    if words and name not in _PM2_NAMES:
        if words[0] == "--version":
            from runtime import __version__

            print(f"pidone {__version__}")
            return 0
        if words[0] in _COMMANDS:
            from importlib import import_module

            return int(import_module(_COMMANDS[words[0]]).run(words[1:]))
    # Everything else becomes the long-lived process. Its signal handlers go in before anything slow.
    from runtime.init.signals import SignalInbox

    inbox = SignalInbox()
    if name in _PM2_NAMES:
        from runtime.cli.pm2_runtime import run

        code = run(words, inbox)
    else:
        from runtime.cli.start import run

        code = run(words[1:] if words[:1] == ["start"] else words, inbox)
    # Everything has been flushed and waited for; tearing the interpreter down would only delay the end.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
