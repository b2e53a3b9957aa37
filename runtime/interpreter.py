"""The command line that runs a module of pidone in a process of its own."""

import os
import sys


def module_argv(module: str, *arguments: str) -> tuple[str, ...]:
    """`python -m MODULE ARGUMENTS` with our interpreter and packages, whatever the environment says.

    In the bundle (docker/bundle) the interpreter starts only through the loader that lies beside it, and
    finds our packages only through its start.py.
    """
    prefix = os.path.dirname(os.path.dirname(sys.executable))
    loader, start = f"{prefix}/lib/ld.so", f"{prefix}/lib/start.py"
    if os.path.exists(loader) and os.path.exists(start):
        front: tuple[str, ...] = (
            loader,
            "--library-path",
            f"{prefix}/lib",
            sys.executable,
            "-I",
            "-S",
            start,
        )
    else:
        front = (sys.executable, "-I")
    return (*front, "-m", module, *arguments)
