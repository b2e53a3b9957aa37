"""What a main process leaves behind: found, asked to end, killed, and waited for, without a fixed sleep."""

import os
import signal
from collections.abc import Callable
from typing import Final

from pidone.contracts import Clock, Timer
from pidone.ecosystem.spec import Seconds
from pidone.init import proctree

POLL: Final[Seconds] = 0.05
"""Most leftovers are adopted by us, so that their end is a SIGCHLD; a member of the group whose parent lives
outside of it is not, and has to be looked for."""

MARK: Final = "PIDONE_INSTANCE"
"""Variable that marks every process of an incarnation, so that one that left its group and session by a
double fork can still be told from the others' (readable for our own user, or with CAP_SYS_PTRACE)."""


class Kin:
    """The processes that belong to one incarnation."""

    def __init__(self, main: int, mark: str, owned: Callable[[int], bool]) -> None:
        """`main` led its own process group; `mark` is its value of MARK; `owned` knows the main processes."""
        self._main = main
        self._mark = f"{MARK}={mark}".encode()
        self._owned = owned
        self._remembered: dict[int, int] = {}
        self.main_is_alive = True

    def remember(self) -> None:
        """Note the present descendants by pid and start time: some may leave the group before they end."""
        processes = proctree.snapshot()
        for pid in proctree.descendants(self._main, processes):
            self._remembered[pid] = processes[pid].start_ticks

    def alive(self) -> list[proctree.Process]:
        """Everything of the incarnation that has not ended, except the main process itself."""
        strays = set(self._strays())
        if not strays and not self._group_exists():
            return []
        processes = proctree.snapshot()
        roots = [process.pid for process in processes.values() if self._is_mine(process, strays)]
        mine = set(roots)
        for root in roots:
            mine.update(proctree.descendants(root, processes))
        mine.discard(self._main)
        return [processes[pid] for pid in mine if not processes[pid].is_dead]

    def _strays(self) -> list[int]:
        """Orphans that we adopted: one cheap read, and nearly always empty."""
        return [pid for pid in proctree.children(os.getpid()) if not self._owned(pid)]

    def _group_exists(self) -> bool:
        if not self._group_is_ours():
            return False
        try:
            os.killpg(self._main, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def _group_is_ours(self) -> bool:
        """A main process that starts after ours ended may get its pid, and then the group is that one's."""
        return self.main_is_alive or not self._owned(self._main)

    def _is_mine(self, process: proctree.Process, strays: set[int]) -> bool:
        if self._main in (process.pgrp, process.session, process.pid) and self._group_is_ours():
            return True
        if self._remembered.get(process.pid) == process.start_ticks:
            return True
        return process.pid in strays and self._is_marked(process.pid)

    def _is_marked(self, pid: int) -> bool:
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                return self._mark in file.read().split(b"\0")
        except OSError:  # gone, or another user's: then group, session and memory have to do
            return False


def our_descendants() -> list[proctree.Process]:
    """Everything below this process that has not ended, whoever started it."""
    processes = proctree.snapshot()
    below = proctree.descendants(os.getpid(), processes)
    return [processes[pid] for pid in below if not processes[pid].is_dead]


class Clearance:
    """Ends a set of processes that may change while it is being ended."""

    def __init__(
        self,
        find: Callable[[], list[proctree.Process]],
        clock: Clock,
        on_gone: Callable[[], None],
    ) -> None:
        """`find` tells who is left; `on_gone` is called once, when nobody is."""
        self._find = find
        self._clock = clock
        self._on_gone: Callable[[], None] | None = on_gone
        self._signal = signal.SIGTERM
        self._told: set[tuple[int, int]] = set()
        self._timer: Timer | None = None

    def begin(self) -> bool:
        """Ask whoever is left to end (SIGTERM). False if there is nobody; `on_gone` is not called then."""
        left = self._find()
        if not left:
            self._on_gone = None
            return False
        self._tell(left)
        self._wait()
        return True

    def kill(self) -> None:
        """SIGKILL instead, newcomers included."""
        self._signal = signal.SIGKILL
        self._told.clear()
        self.check()

    def check(self) -> None:
        """Somebody ended: see who is left."""
        if self._on_gone is None:
            return
        left = self._find()
        if left:
            self._tell(left)
            self._wait()
            return
        if self._timer is not None:
            self._timer.cancel()
        on_gone, self._on_gone = self._on_gone, None
        on_gone()

    def _tell(self, processes: list[proctree.Process]) -> None:
        for process in processes:
            identity = (process.pid, process.start_ticks)
            if identity not in self._told:
                self._told.add(identity)
                process.send(self._signal)
                if process.state == "T":  # a stopped process cannot hear SIGTERM
                    process.send(signal.SIGCONT)

    def _wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.call_later(POLL, self.check)
