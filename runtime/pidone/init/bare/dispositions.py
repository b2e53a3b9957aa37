"""Signals at the level of the process: the mask and the dispositions we were given, and sending one."""

import os

from pidone.csignal import signal

CATCHABLE = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}

_PYTHONS_OWN = (signal.SIGPIPE, signal.SIGXFSZ)
"""Python ignores these at its start, so how they were inherited cannot be told; default is the usual case."""


def block_all() -> set[int]:
    """Block every signal, so that each waits for us to ask for it; the mask we were given."""
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, CATCHABLE))


def inherited_ignored() -> set[int]:
    """The signals we were started with as ignored, as far as Python lets us know."""
    return {
        int(number)
        for number in CATCHABLE
        if signal.getsignal(number) == signal.SIG_IGN and number not in _PYTHONS_OWN
    }


def reset_all() -> None:
    """Every signal to its default action; harmless while all are blocked.

    In particular SIGCHLD, which ignored would mean that the kernel buries children without telling us, and
    SIGINT, whose Python handler would raise KeyboardInterrupt in a child about to execute its program.
    """
    for number in CATCHABLE:
        if signal.getsignal(number) != signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)


def ignore(numbers: set[int]) -> None:
    """Ignore these signals; children that execute a program inherit that."""
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


def send(target: int, number: int) -> OSError | None:
    """Signal a process, or with a negative target its group; what went wrong, if anything did."""
    try:
        os.kill(target, number)
    except OSError as error:
        return error
    return None
