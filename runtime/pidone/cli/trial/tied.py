"""`python -m pidone.cli.trial.tied PARENT PROGRAM ARGS`: a program that hears SIGTERM when PARENT ends.

Even when that is killed: a CI system that gives up on a command by SIGKILL must not leave a runtime behind.
In a process of its own, as nothing may be done between fork and exec where there are threads.
"""

import os
import signal
import sys
from typing import NoReturn

from pidone.init import prctl


def main(parent: int, argv: list[str]) -> NoReturn:
    """Become it. Raises OSError."""
    prctl.set_parent_death_signal(signal.SIGTERM)
    if os.getppid() != parent:  # it ended before we could ask to hear of it
        sys.exit(os.EX_UNAVAILABLE)
    os.execv(argv[0], argv)  # noqa: S606 (our own interpreter)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
