"""The `signal` module without its enums, for programs whose start is waited for.

`signal` is `_signal`, which is built into the interpreter, plus a conversion of all constants into enums;
that imports seven modules and takes a fifth of the time between the start of `pidone exec` and its command's.
Beside it, a fork in whose child no signal finds our handlers.
"""

import os

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without importing typing
if TYPE_CHECKING:
    import signal
else:
    try:
        import _signal as signal
    except ImportError:  # not CPython
        import signal

__all__ = ["fork_quietly", "signal"]


def fork_quietly() -> int:
    """As fork(2). In the child every signal waits until it has put its own dispositions. Raises OSError.

    One of ours that ran there would write into the pipe that wakes our loop.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    pid = -1
    try:
        pid = os.fork()
    finally:
        if pid:
            try:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            except OSError:  # nobody could ask us to stop without
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid
