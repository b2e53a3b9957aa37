"""Signals at the level of the process: the mask and the dispositions we were given, and sending one."""

import os
import sys

from pidone.csignal import signal

CATCHABLE = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}

_PYTHONS_OWN = (signal.SIGPIPE, signal.SIGXFSZ)
"""Python ignores these at its start, so how they were inherited cannot be told; default is the usual case."""


def block_all() -> set[int]:
    """Block every signal, so that each waits for us to ask for it; the mask we were given."""
    blocked = set(signal.pthread_sigmask(signal.SIG_BLOCK, CATCHABLE))
    before = mask_before_us()
    return blocked if before is None else before


def mask_before_us() -> set[int] | None:
    """The mask that our launcher was given, if it blocked all signals before there was an interpreter."""
    given = sys._xoptions.get("mask")  # noqa: SLF001 - as documented for -X
    if os.getpid() != 1 or not isinstance(given, str):
        return None
    return {number for number in CATCHABLE if int(given, 16) >> (number - 1) & 1}


def let_signals_in() -> None:
    """For what has no signal handlers of its own: as it was before our launcher."""
    mask = mask_before_us()
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


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
