"""The stop of apps whose runtime was killed: by whoever has guarded them, as the runtime would have done it.

The main process gets its signal, what it leaves behind gets SIGTERM (`kill_mode`), and who is there after
`kill_timeout` is killed. Whoever has lost its parent belongs to init by then, so families are remembered.
"""

import os
import time
from collections.abc import Iterable
from typing import Final, NamedTuple

from pidone.csignal import signal
from pidone.ecosystem.spec import KillMode, Seconds
from pidone.init import proctree
from pidone.init.proctree import Look, ProcessInfo

_POLL: Final[Seconds] = 0.05
_LAST: Final[Seconds] = 10.0
"""From the kill on: whoever may not be killed, or is in the kernel's hands, is given up."""


class Ward(NamedTuple):
    """The main process of an instance, and how it is to be stopped."""

    pid: int
    number: int
    """What asks it to stop."""
    patience: Seconds
    """Until it is killed."""
    mode: KillMode
    process: ProcessInfo | None = None
    """Tells it from another one with its pid; None where there is no /proc."""

    def line(self) -> str:
        """As text, for `of`."""
        return f"{self.pid} {self.number} {self.patience} {self.mode.value}"

    @classmethod
    def of(cls, pid: str, number: str, patience: str, mode: str) -> "Ward":
        """Of the words of a line."""
        return cls(int(pid), int(number), float(patience), KillMode(mode))

    def seen(self) -> "Ward":
        """The same with what /proc tells of it now."""
        try:
            return self._replace(process=proctree.read(self.pid))
        except OSError:
            return self


def stop(wards: Iterable[Ward]) -> None:
    """Stop them all; returns when nobody is left."""
    try:
        look = Look(proctree.snapshot())
    except OSError:
        look = Look({})
    ends = [_End(ward, look) for ward in wards]
    while ends:
        time.sleep(_POLL)
        look = Look(proctree.snapshot() if look.processes else {})
        ends = [end for end in ends if not end.is_over(look)]


class _End:
    """One ward's stop."""

    def __init__(self, ward: Ward, look: Look) -> None:
        """Ask it."""
        self._ward = ward
        self._deadline = time.monotonic() + ward.patience
        self._asked: set[tuple[int, int]] = set()
        self._family: dict[int, ProcessInfo] = {}
        if ward.process is None:  # no /proc: the numbers have to do
            proctree.deliver(-ward.pid if ward.mode is KillMode.TREE else ward.pid, ward.number)
            return
        self._family[ward.pid] = ward.process
        self._remember(look)
        if ward.mode is KillMode.TREE:
            self._ask(ward.number)
        elif ward.pid in self._family:
            ward.process.deliver(ward.number)

    def is_over(self, look: Look) -> bool:
        """Ask whom it has left behind, kill whoever is late, and tell whether nobody is left."""
        ward = self._ward
        is_late = time.monotonic() >= self._deadline
        if ward.process is None:
            if is_late:
                proctree.deliver(ward.pid if ward.mode is KillMode.PROCESS else -ward.pid, signal.SIGKILL)
            return is_late or proctree.deliver(ward.pid, 0) == proctree.GONE
        self._remember(look)
        if is_late:
            for process in self._family.values():
                process.deliver(signal.SIGKILL)
            return not self._family or time.monotonic() >= self._deadline + _LAST
        if ward.pid not in self._family:
            self._ask(ward.number if ward.mode is KillMode.TREE else signal.SIGTERM)
        return not self._family

    def _ask(self, number: int) -> None:
        """Each of them once, children first."""
        for process in sorted(
            self._family.values(), key=lambda each: (each.start_ticks, each.pid), reverse=True
        ):
            if (process.pid, process.start_ticks) not in self._asked:
                self._asked.add((process.pid, process.start_ticks))
                process.deliver(number)

    def _remember(self, look: Look) -> None:
        """Who is left of the family, and who has come to it.

        A number that a session or a group goes by is given to nobody else as long as it has a member.
        """
        pid = self._ward.pid
        left = {
            each.pid: now
            for each in self._family.values()
            if (now := look.processes.get(each.pid)) and now.start_ticks == each.start_ticks
        }
        if self._ward.mode is not KillMode.PROCESS:
            if any(pid in (each.session, each.pgrp) for each in left.values()):
                left |= {other: look.processes[other] for other in look.led_by(pid)}
            left |= {other: look.processes[other] for other in look.families(left) if other in look.processes}
        own = os.getpid()
        self._family = {
            other: process for other, process in left.items() if not process.is_dead and other != own
        }
