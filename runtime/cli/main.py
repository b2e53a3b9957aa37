"""The first words of a command line decide what is imported at all."""

import os

_INIT_NAMES = ("tini", "tini-static", "docker-init", "dumb-init")


def dispatch(argv: list[str]) -> int:
    """Run `argv` (argv[0] is the name we were called by) and return the exit code."""
    if argv[1:2] == ["exec"] or argv[0].rpartition("/")[2] in _INIT_NAMES:
        from runtime.init.bare.main import run

        os._exit(run(argv))  # finalising the interpreter would only keep others waiting
    return 0
