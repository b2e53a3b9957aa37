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

__all__ = ["fork_quietly", "let_in", "signal"]


def let_in() -> None:
    """Have every signal arrive; tried twice, as nobody could ask us to stop without. Raises OSError.

    Also after posix_spawn(3) and fork(3): the C library keeps all of them out meanwhile, its own ones among
    them, and does not look at what the kernel answers when it wants them back.
    """
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
    except OSError:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())


def fork_quietly() -> int:
    """As fork(2). In the child every signal waits until it has put its own dispositions. Raises OSError.

    One of ours that ran there would be counted here, or write into the pipe that wakes our loop.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    pid = -1
    try:
        pid = os.fork()
    finally:
        if pid:
            let_in()
    return pid
