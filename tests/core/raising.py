"""The real runtime, one of whose callbacks raises: `python -I -S -X utf8 raising.py CALLBACK FLAG ...`.

What follows are the folder of the package and the program. CALLBACK is `module:Class.method`; it raises once,
the first time that it is called while the file FLAG is there, which is gone then. With `lost ` before it, a
finalizer raises in it. A program of its own, because the runtime lets nobody's hooks into its interpreter.
"""

import importlib
import os
import runpy
import sys

MESSAGE = "raised on purpose"


class Lost:
    """Nobody can be given what its end raises."""

    def __del__(self) -> None:
        """As a library's might."""
        raise RuntimeError(MESSAGE)


def let_raise(callback: str, flag: str) -> None:
    """Put another method in the place of one."""
    is_lost = callback.startswith("lost ")
    module, _, path = callback.removeprefix("lost ").partition(":")
    owner, _, method = path.partition(".")
    kind = getattr(importlib.import_module(module), owner)
    whole = getattr(kind, method)

    def instead(*args: object, **keys: object) -> object:
        if os.path.exists(flag):
            os.unlink(flag)
            if not is_lost:
                raise RuntimeError(MESSAGE)
            Lost()
        return whole(*args, **keys)

    setattr(kind, method, instead)


if __name__ == "__main__":
    callback, flag, packages, program = sys.argv[1:5]
    sys.path.append(packages)
    let_raise(callback, flag)
    sys.argv[:] = sys.argv[4:]
    runpy.run_path(program, run_name="__main__")
