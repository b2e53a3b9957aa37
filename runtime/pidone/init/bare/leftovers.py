"""Who outlives the command: all descendants of ours, and what is left of the command's process group.

The group matters where we are no subreaper: its members may have been adopted by somebody else, so that no
SIGCHLD tells us of their end. Sessions need no search of their own, since whoever made one is a descendant.
"""

import os

from pidone.csignal import signal
from pidone.descriptors import close
from pidone.init import proctree
from pidone.init.bare import dispositions

_LONGEST_S = 1e9
"""sigtimedwait() takes no infinity."""


class Leftovers:
    """The processes that the command leaves behind."""

    def __init__(self, group: int) -> None:
        """`group` is the command's process group; it lives in our session."""
        self._group = group
        self._session = os.getsid(0)

    def send(self, number: int) -> int:
        """Signal each of them once, and continue those that are stopped so that they can act; how many."""
        if not proctree.is_ours():
            return self._send_blindly(number)
        known = proctree.snapshot()
        pids = proctree.descendants(os.getpid(), known) + self._members(known)
        living = [known[pid] for pid in dict.fromkeys(pids) if not known[pid].is_dead]
        for process in living:
            process.send(number)
            if process.state == "T" and number != signal.SIGKILL:
                process.send(signal.SIGCONT)
        return len(living)

    def strangers(self) -> list[int]:
        """Living members of the group, once we have no children any more; zombies are not ours to bury."""
        if dispositions.send(-self._group, 0) is not None or not proctree.is_ours():
            return []
        known = proctree.snapshot()
        return [pid for pid in self._members(known) if not known[pid].is_dead]

    def wait(self, timeout_s: float, strangers: list[int]) -> signal.struct_siginfo | None:
        """Wait for a signal (returned), for the end of one of the strangers, or until the time is up."""
        timeout_s = min(max(timeout_s, 0.0), _LONGEST_S)
        if strangers:
            timeout_s = _wait_for_strangers(timeout_s, strangers)
        return signal.sigtimedwait(dispositions.CATCHABLE, timeout_s)

    def _members(self, known: dict[int, proctree.ProcessInfo]) -> list[int]:
        # The session tells the command's group from another one that got its number since.
        return proctree.members(known, pgrp=self._group, session=self._session)

    def _send_blindly(self, number: int) -> int:
        """Without a usable /proc: as process 1 everybody in our namespace, otherwise the group."""
        target = -1 if os.getpid() == 1 else -self._group
        return 1 if dispositions.send(target, number) is None else 0


def _wait_for_strangers(timeout_s: float, strangers: list[int]) -> float:
    """Sleep until a signal is pending or a stranger ends; how long sigtimedwait() is to wait after that."""
    import select  # noqa: PLC0415 - rarely needed

    poll = select.poll()
    descriptors = []
    try:
        descriptors.append(_signal_descriptor())
        descriptors.extend(os.pidfd_open(pid) for pid in strangers)
        for descriptor in descriptors:
            poll.register(descriptor, select.POLLIN)
        poll.poll(min(timeout_s * 1000, 2**31 - 1))
    except ProcessLookupError:
        return 0.0
    except OSError:  # no pidfd here (Linux before 5.3, some sandboxes): then a look now and then must do
        return min(timeout_s, 0.05)
    finally:
        for descriptor in descriptors:
            close(descriptor)
    return 0.0


def _signal_descriptor() -> int:
    """A descriptor that is readable while a signal is pending, see signalfd(2)."""
    from ctypes import CDLL, create_string_buffer, get_errno  # noqa: PLC0415 - rarely needed

    libc = CDLL(None, use_errno=True)
    everything = create_string_buffer(128)  # sigset_t, in glibc and in musl
    libc.sigfillset(everything)
    descriptor = int(libc.signalfd(-1, everything, os.O_CLOEXEC))
    if descriptor < 0:
        raise OSError(get_errno(), os.strerror(get_errno()))
    return descriptor
