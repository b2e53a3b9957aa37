"""The command line that runs a module of pidone in a process of its own."""

import sys


def module_argv(module: str, *arguments: str) -> tuple[str, ...]:
    """`python -m MODULE ARGUMENTS` with our interpreter, whatever the environment and the folder say."""
    return (sys.executable, "-I", "-m", module, *arguments)
