"""The errors pidone raises on purpose; anything else is a bug and ends in one place that reports it."""

import errno
from typing import Final

_SHORTAGES: Final = frozenset({errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def is_shortage(error: BaseException | None) -> bool:
    """Whether descriptors, processes or memory were lacking: that passes, and is nobody's fault."""
    while error is not None:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _SHORTAGES):
            return True
        error = error.__cause__
    return False


def describe_bug(error: BaseException) -> str:
    """One line for what nobody has expected: what, and where."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    where = f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})" if trace else ""
    return f"internal error: {type(error).__name__}: {error}{where}"


class PidoneError(Exception):
    """Base of every error whose message is meant for the user."""


class UsageError(PidoneError):
    """The command line is wrong."""


class ConfigError(PidoneError):
    """An ecosystem cannot be used. The message holds one line per problem, each naming file, app and key."""


class SpawnError(PidoneError):
    """A process could not be started: which step failed and why."""


class ListenError(PidoneError):
    """A listening socket cannot be opened or shared."""

    def __init__(self, message: str, app: tuple[str, str] | None = None) -> None:
        super().__init__(message, app)
        self.app = app
        """Whose entry of `listen` it is, by namespace and name, if it is one."""

    def __str__(self) -> str:
        """What happened."""
        return str(self.args[0])


class PortTakenError(ListenError):
    """A socket of `listen` is somebody else's."""


class SilentError(ListenError):
    """The file system on which a socket is to be does not answer: that is no other app's trouble."""


class ControlError(PidoneError):
    """A control request cannot be carried out."""
