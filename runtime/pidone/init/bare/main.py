"""Which init is asked for, and the promise that it ends without a traceback."""

import os

from pidone.init.bare import dispositions
from pidone.init.bare.execute import undo_locale_coercion
from pidone.init.bare.output import Quit, complain


def run(argv: list[str]) -> int:
    """Be the init that `argv` names and return the exit code, in the process or in its failed child.

    The caller is to end with `os._exit()`: there is nothing to clean up, and others wait for it.
    """
    inherited_mask = dispositions.block_all()
    undo_locale_coercion()
    try:
        return _run(argv, inherited_mask)
    except Quit as quit_:
        return quit_.code
    except BaseException as error:  # noqa: BLE001 - this is the one place that reports a bug
        from pidone.errors import describe_bug  # noqa: PLC0415 (nobody else needs it here)

        complain(describe_bug(error))
        return os.EX_SOFTWARE


def _run(argv: list[str], inherited_mask: set[int]) -> int:
    # Each init is imported alone: the others would only cost time.
    match os.path.basename(argv[0]):
        case "tini" | "tini-static" | "docker-init":
            from pidone.init.bare import tini  # noqa: PLC0415

            return tini.run(argv, inherited_mask)
        case "dumb-init":
            from pidone.init.bare import dumb_init  # noqa: PLC0415

            return dumb_init.run(argv)
        case _:
            from pidone.init.bare import command  # noqa: PLC0415

            return command.run(argv[2:])
