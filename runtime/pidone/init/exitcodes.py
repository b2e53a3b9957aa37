"""The exit codes of the runtime itself; everything else is an app's own code or 128 + signal.

They follow sysexits.h where it has a fitting code, and timeout(1) for the deadline, so that Kubernetes'
podFailurePolicy and Docker's restart policies can tell a broken configuration from a broken app.
"""

from enum import IntEnum
from typing import Final


class ExitCode(IntEnum):
    """What the container's exit code means when no app's own code is passed on."""

    OK = 0
    """An orderly stop that somebody asked for, or every job completed."""
    USAGE = 64
    """The command line is wrong (EX_USAGE)."""
    PORT_TAKEN = 69
    """A socket of `listen` is another program's (EX_UNAVAILABLE); nothing was started."""
    INTERNAL = 70
    """A bug in pidone (EX_SOFTWARE)."""
    NO_PROCESS = 71
    """The system lets nobody be started: no process can be forked (EX_OSERR)."""
    STDOUT_LOST = 74
    """stdout was closed or failed (EX_IOERR); the apps were stopped in order."""
    GAVE_UP = 75
    """An app crashed too often and the runtime stopped restarting it (EX_TEMPFAIL)."""
    CONFIG = 78
    """The ecosystem cannot be used (EX_CONFIG); nothing was started."""
    DEADLINE = 124
    """A stop was asked for, but something had to be killed when its time was up (as timeout(1))."""
    NOT_EXECUTABLE = 126
    """The command was found but cannot be executed (as in the shell)."""
    NOT_FOUND = 127
    """The command was not found (as in the shell)."""


SIGNAL_BASE: Final = 128
"""A process ended by signal n is reported as 128 + n, as shells and Docker do."""
