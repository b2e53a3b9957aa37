"""The one place that waits for children: it tells owners by pid and buries orphans."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from pidone.init.bare.output import complain
from pidone.init.exitcodes import SIGNAL_BASE
from pidone.record import Record
from pidone.signames import signal_name

TURN_S: Final = 0.01
"""Longest turn: neither a burst of zombies nor programs that end as fast as they are restarted, which happens
in the turn that buries them, may starve everything else."""
_LONGEST_WAIT_S: Final = 1.0
"""For one that was killed, or says that it ends."""
_SHORTEST_NAP_S: Final = 0.0005


class ExitStatus(Record):
    """How a process ended: with a code, or by a signal (then `code` is None)."""

    code: int | None = None
    signal: int | None = None
    core_dumped: bool = False

    @property
    def shell_code(self) -> int:
        """The code a shell would report: 128 + n for a death by signal n."""
        if self.signal is not None:
            return SIGNAL_BASE + self.signal
        return self.code or 0

    def __str__(self) -> str:
        """In words: `code 1` or `SIGKILL`."""
        return f"code {self.code}" if self.signal is None else signal_name(self.signal)


def has_children() -> bool:
    """Whether any child is left, dead or alive; nobody is buried for it."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def await_end(pid: int, longest_s: float = _LONGEST_WAIT_S) -> None:
    """Bury a child that ends about now and that nobody watches. Nobody waits for it for long.

    What a file system still holds is left to the reaper, or to who adopts it when the runtime ends.
    """
    waited, nap = 0.0, _SHORTEST_NAP_S
    with suppress(OSError):  # the kernel, or somebody else, was faster
        while waited < longest_s and os.waitpid(pid, os.WNOHANG) == (0, 0):
            time.sleep(nap)
            waited, nap = waited + nap, min(2 * nap, TURN_S)


class Reaper:
    """Collects every dead child; the only caller of waitid in the process."""

    def __init__(
        self,
        on_orphan: Callable[[int], None] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_orphan` hears the pid of each adopted process that was buried; `now` counts seconds."""
        self._now = now
        self._owners: dict[int, Callable[[ExitStatus], None]] = {}
        self._on_stop: dict[int, Callable[[], None]] = {}
        self._on_orphan = on_orphan
        self.orphans = 0
        """Adopted processes buried so far."""
        self.on_failure: Callable[[Exception], None] = _report
        """Hears what an owner raised: a bug, or a call that failed. All others are buried all the same."""

    def watch(
        self, pid: int, on_exit: Callable[[ExitStatus], None], on_stop: Callable[[], None] | None = None
    ) -> None:
        """Tell `on_exit` when the child ends; to be called in the same turn that forked it.

        `on_stop` hears when a signal has stopped it (SIGSTOP): a helper of ours is no use then.
        """
        self._owners[pid] = on_exit
        if on_stop is not None:
            self._on_stop[pid] = on_stop

    def owns(self, pid: int) -> bool:
        """Whether the pid is a child somebody watches, as opposed to an adopted orphan."""
        return pid in self._owners

    @property
    def watched(self) -> tuple[int, ...]:
        """Every child that somebody waits for."""
        return tuple(self._owners)

    def reap(self) -> bool:
        """Bury what is dead, for a limited time; True if there may be more, so that the caller comes back.

        Raises OSError where the kernel does not say who is dead: then it is to be tried again later.

        SIGCHLD coalesces: one signal may stand for any number of children, so this loops. The kernel names
        the children in the order of their birth, so that nobody is passed over.
        """
        ends = self._now() + TURN_S
        while self._now() < ends:
            try:
                result = os.waitid(os.P_ALL, 0, os.WEXITED | os.WSTOPPED | os.WNOHANG)
            except ChildProcessError:
                return False
            if result is None:
                return False
            self._bury(result)
        return True

    def _bury(self, result: os.waitid_result) -> None:
        try:
            self._tell(result)
        except Exception as error:  # noqa: BLE001 (one's failure is nobody else's: each dead child is buried)
            self.on_failure(error)

    def _tell(self, result: os.waitid_result) -> None:
        if result.si_code == os.CLD_STOPPED:
            if result.si_pid in self._on_stop:
                self._on_stop[result.si_pid]()
            return
        self._on_stop.pop(result.si_pid, None)
        owner = self._owners.pop(result.si_pid, None)
        self.orphans += owner is None
        if owner is not None:
            owner(_status(result))
        elif self._on_orphan is not None:
            self._on_orphan(result.si_pid)


def _report(error: Exception) -> None:
    from pidone.errors import describe_bug  # noqa: PLC0415 (nobody else needs it here)

    complain(describe_bug(error))


def _status(result: os.waitid_result) -> ExitStatus:
    if result.si_code == os.CLD_EXITED:
        return ExitStatus(code=result.si_status)
    return ExitStatus(signal=result.si_status, core_dumped=result.si_code == os.CLD_DUMPED)
