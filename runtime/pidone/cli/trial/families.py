"""The processes of an app while they are told to end: what they do with the signal, what they still hold."""

import os
import signal
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, Self

from pidone.cli.trial import sockets
from pidone.ecosystem.spec import Seconds
from pidone.init import proctree
from pidone.record import Record

_EVERY: Final[Seconds] = 0.25
_TRACKER: Final = b"multiprocessing.resource_tracker"
_TIME_TO_LEAVE: Final[Seconds] = 2.0


class FamilyMember(Record, kw_only=True):
    """One process of an app, as it was before it was told to end, and when it was last looked at."""

    name: str
    main: int
    """Pid of the instance that it belongs to; its own if it is that."""
    ignored: frozenset[int]
    """Signals that it ignores."""
    connections: int = 0
    ports: tuple[int, ...] = ()
    """TCP ports on which it still listened."""
    is_tracker: bool = False
    """Whether it is the resource tracker of multiprocessing, which ends by itself after its parent."""


class Families:
    """The main processes and their descendants, watched by a thread between `with` and its end."""

    def __init__(self, mains: Iterable[int]) -> None:
        """Look at them once: what they do with signals is what they do before one comes."""
        self._members: dict[int, FamilyMember] = {}
        self._orphans: dict[int, None] = {}
        for main in mains:
            for pid in (main, *proctree.descendants(main)):
                with suppress(OSError, ValueError):  # it has ended
                    self._members[pid] = _look(pid, main)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """No more looks."""
        self._end.set()
        self._thread.join(_TIME_TO_LEAVE)

    def of(self, main: int) -> list[FamilyMember]:
        """An instance's processes, the main one first; empty for one that was not there at the begin."""
        found = [member for member in self._members.values() if member.main == main]
        return sorted(found, key=lambda member: member is not self._members.get(main))

    @property
    def orphans(self) -> list[FamilyMember]:
        """Those that were seen alive after their main process."""
        return [member for pid in self._orphans if not (member := self._members[pid]).is_tracker]

    def has_tracker(self, main: int) -> bool:
        """Whether that is what an instance may leave for a moment."""
        return any(member.is_tracker for member in self.of(main))

    def _watch(self) -> None:
        while not self._end.wait(_EVERY):
            known = sockets.table()
            for pid, member in list(self._members.items()):
                if not _is_alive(pid):
                    continue
                if pid != member.main and not _is_alive(member.main):
                    self._orphans[pid] = None
                held = sockets.of([pid], known)
                ports = sorted({each.port for each in held if each.listens})
                served = [each for each in held if not each.listens]
                self._members[pid] = member.but(connections=len(served), ports=tuple(ports))


def _look(pid: int, main: int) -> FamilyMember:
    """Raises OSError if it has ended."""
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        fields = dict(line.split(":", 1) for line in file)
    with open(f"/proc/{pid}/cmdline", "rb") as words:
        command = words.read()
    return FamilyMember(
        name=fields["Name"].strip(),
        main=main,
        ignored=_signals(fields["SigIgn"]),
        is_tracker=_TRACKER in command,
    )


def _signals(mask: str) -> frozenset[int]:
    bits = int(mask, 16)
    return frozenset(number for number in range(1, signal.NSIG) if bits >> number - 1 & 1)


def _is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def memory(pid: int) -> int:
    """Resident bytes of a process and its descendants; 0 if it has ended."""
    total = 0
    for each in (pid, *proctree.descendants(pid)):
        with suppress(OSError), open(f"/proc/{each}/statm", encoding="ascii") as file:
            total += int(file.read().split()[1])
    return total * os.sysconf("SC_PAGE_SIZE")
