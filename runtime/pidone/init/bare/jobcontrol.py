"""Sharing a terminal with the shell that started us: the foreground group, ^Z, fg and bg.

The command has a process group of its own, so the terminal's ^C and ^Z reach it alone; to the shell, however,
the job is *our* group. So we hand the foreground on to the command when we have it, stop when the command
stops, and take the foreground back at the end. The rules are POSIX's (XBD 11.1, general terminal interface).

The terminal is opened for each step and never kept: it may go away, and it is not ours to hold. All signals
are blocked here, so that SIGTTOU does not stop us when we move the foreground from the background.
"""

import os

from pidone.csignal import signal
from pidone.descriptors import close
from pidone.init.bare import dispositions

_TERMINAL_STOPS = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)


def hand_over(group: int, giver: int) -> bool:
    """Make `group` the foreground if the group `giver` has it now; whether that was done."""
    return _move(giver, group)


def take_back(group: int) -> bool:
    """Make our group the foreground if `group` has it, or a group that no longer exists; whether so."""
    now = _foreground()
    if now is None or (now != group and dispositions.send(-now, 0) is None):
        return False
    return _move(now, os.getpgrp())


def follow_stop(child: int, number: int, *, requested: bool) -> None:
    """The command was stopped by signal `number`: stop too, so that the shell notices, until continued.

    `requested` says that the stop came through us. A stop by the terminal that nobody could ever undo
    (our group is orphaned, or we are process 1) is undone, as the kernel spares orphaned groups from it.
    """
    foreground = _foreground()
    if foreground is None:
        return
    if number in (signal.SIGTTIN, signal.SIGTTOU) and hand_over(child, os.getpgrp()):
        # The shell brought our group to the foreground without having to continue it.
        dispositions.send(-child, signal.SIGCONT)
        return
    by_terminal = foreground == child and not requested
    if not by_terminal and number not in _TERMINAL_STOPS:
        return  # somebody holds only the command, on purpose
    _move(child, os.getpgrp())
    if by_terminal:
        # As the terminal would have done without us in between: everybody in the job.
        dispositions.send(0, signal.SIGTSTP)
        stopped = _let_stop(signal.SIGTSTP)
    else:
        dispositions.send(os.getpid(), number)
        stopped = _let_stop(number)
    if by_terminal and not stopped and number == signal.SIGTSTP:
        hand_over(child, os.getpgrp())
        dispositions.send(-child, signal.SIGCONT)


def _let_stop(number: int) -> bool:
    """Let a pending stop signal act; afterwards, whether we were stopped and continued by it."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    return signal.SIGCONT in signal.sigpending()


def _foreground() -> int | None:
    """The foreground group of our controlling terminal, if we have one."""
    terminal = _open()
    if terminal is None:
        return None
    try:
        return os.tcgetpgrp(terminal)
    except OSError:  # ENOTTY: it was taken away
        return None
    finally:
        close(terminal)


def _move(giver: int, taker: int) -> bool:
    terminal = _open()
    if terminal is None:
        return False
    try:
        if os.tcgetpgrp(terminal) != giver:
            return False
        os.tcsetpgrp(terminal, taker)
    except OSError:  # the terminal was taken away, or the group has just ended
        return False
    finally:
        close(terminal)
    return True


def _open() -> int | None:
    """A descriptor of the controlling terminal: by its name, or else whichever of ours it is."""
    try:
        return os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:  # ENXIO without a terminal; ENOENT in a container without the device
        pass
    for descriptor in range(3):
        try:
            os.tcgetpgrp(descriptor)
            return os.dup(descriptor)
        except OSError:  # closed, or no terminal, or not the one of our session
            continue
    return None
