"""The real runtime, one of whose callbacks raises: `python -I -S -X utf8 raising.py CALLBACK FLAG ...`.

What follows are the folder of the package and the program. CALLBACK is `module:Class.method`; it raises once,
the first time that it is called while the file FLAG is there, which is gone then. With `lost ` before it, a
finalizer raises in it; with `stopping `, the beginning of a stop puts the file there. A program of its own,
because the runtime lets nobody's hooks into its interpreter.
"""

import importlib
import os
import runpy
import sys
from collections.abc import Callable

MESSAGE = "raised on purpose"


class Lost:
    """Nobody can be given what its end raises."""

    def __del__(self) -> None:
        """As a library's might."""
        raise RuntimeError(MESSAGE)


def let_raise(callback: str, flag: str) -> None:
    """Put another method in the place of one."""
    manner, _, named = callback.rpartition(" ")
    owner, method, whole = found(named)

    def instead(*args: object, **keys: object) -> object:
        if os.path.exists(flag):
            os.unlink(flag)
            if manner != "lost":
                raise RuntimeError(MESSAGE)
            Lost()
        return whole(*args, **keys)

    setattr(owner, method, instead)
    if manner == "stopping":
        flag_at("pidone.supervise.supervisor:Supervisor.shutdown", flag)


def flag_at(callback: str, flag: str) -> None:
    """Whatever was to be done before it is done, which nobody outside can tell."""
    owner, method, whole = found(callback)

    def instead(*args: object, **keys: object) -> object:
        open(flag, "w").close()
        return whole(*args, **keys)

    setattr(owner, method, instead)


def found(callback: str) -> tuple[type, str, Callable[..., object]]:
    """The class, the name of its method, and that."""
    module, _, path = callback.partition(":")
    owner, _, method = path.partition(".")
    kind = getattr(importlib.import_module(module), owner)
    return kind, method, getattr(kind, method)


if __name__ == "__main__":
    callback, flag, packages, program = sys.argv[1:5]
    sys.path.append(packages)
    let_raise(callback, flag)
    sys.argv[:] = sys.argv[4:]
    runpy.run_path(program, run_name="__main__")
