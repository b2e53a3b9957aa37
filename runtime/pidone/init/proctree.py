"""Who is whose child, read from /proc without psutil. Everything tolerates processes that vanish.

Protocol: proc_pid_stat(5), and proc_tid_children(5) where the kernel has CONFIG_PROC_CHILDREN.
"""

import os

from pidone import procfs
from pidone.csignal import signal
from pidone.descriptors import close

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without importing typing
if TYPE_CHECKING:
    from collections.abc import Iterable


SENT, GONE, REFUSED = "sent", "gone", "refused"
"""What became of a signal; no enum, as the bare init needs this module."""


class ProcessInfo:
    """One process as /proc/PID/stat described it at one moment."""

    # By hand: the bare init needs this module, and `dataclasses` takes longer to import than all of it.
    __slots__ = ("pgrp", "pid", "ppid", "session", "start_ticks", "state")

    def __init__(self, *, pid: int, ppid: int, pgrp: int, session: int, state: str, start_ticks: int) -> None:
        self.pid = pid
        self.ppid = ppid
        self.pgrp = pgrp
        self.session = session
        self.state = state
        """One letter as in ps: R, S, D, T (stopped), t (traced), Z (zombie), X, I."""
        self.start_ticks = start_ticks
        """Clock ticks after boot; with the pid it identifies a process for ever."""

    def __repr__(self) -> str:
        return "Process(" + ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__) + ")"

    @property
    def is_dead(self) -> bool:
        """Whether only the entry in the process table is left."""
        return self.state in "ZXx"

    def send(self, signum: int) -> bool:
        """Signal this very process; False if it is gone or not ours to signal, even if its pid lives on."""
        return self.deliver(signum) == SENT

    def deliver(self, signum: int) -> str:
        """Signal this very process: SENT, GONE or REFUSED (EPERM). Raises nothing.

        A pidfd is taken first and the start time compared after, so a reused pid is never hit. Where neither
        can be had (no descriptor is left, no pidfd in this kernel), the pid alone has to do: it was read just
        now, and a signal must not depend on anything that may be wanting when it is needed most.
        """
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return GONE
        except OSError:  # EMFILE; Linux before 5.3, or a sandbox without it
            return deliver(self.pid, signum) if self._is_current() else GONE
        try:
            return _deliver_to(descriptor, self.pid, signum) if self._is_current() else GONE
        finally:
            close(descriptor)

    def _is_current(self) -> bool:
        try:
            now = read(self.pid)
        except OSError:
            return True
        return now is not None and now.start_ticks == self.start_ticks


class UnseenGroup:
    """All members of a process group that nobody can look at, as one that can be signalled."""

    __slots__ = ("pid", "start_ticks", "state")
    is_dead = False

    def __init__(self, leader: int) -> None:
        """With 1 as the leader: everybody in our PID namespace, for its process 1."""
        self.pid = -leader
        self.start_ticks = 0
        self.state = "?"

    def deliver(self, signum: int) -> str:
        """As `ProcessInfo.deliver`."""
        return deliver(self.pid, signum)


def deliver(target: int, signum: int) -> str:
    """Signal a pid, or a group by its negative: SENT, GONE or REFUSED. Needs no descriptor and no /proc."""
    try:
        os.kill(target, signum)
    except ProcessLookupError:
        return GONE
    except OSError:  # EPERM: of the process's user, or of a sandbox that has the newer call
        return _deliver_otherwise(target, signum)
    return SENT


def _deliver_otherwise(target: int, signum: int) -> str:
    """By pidfd_send_signal(2), where kill(2) is refused."""
    if target <= 0:
        return REFUSED
    try:
        descriptor = os.pidfd_open(target)
    except ProcessLookupError:
        return GONE
    except OSError:
        return REFUSED
    try:
        signal.pidfd_send_signal(descriptor, signum)
    except ProcessLookupError:
        return GONE
    except OSError:
        return REFUSED
    finally:
        close(descriptor)
    return SENT


def _deliver_to(descriptor: int, pid: int, signum: int) -> str:
    try:
        signal.pidfd_send_signal(descriptor, signum)
    except ProcessLookupError:
        return GONE
    except OSError:  # EPERM may also be a sandbox's, which has one call and not the other: kill(2) will tell
        return deliver(pid, signum)
    return SENT


class Look:
    """Everybody at one moment, and who belongs to whom; made once for many questions."""

    __slots__ = ("_by_group", "_by_parent", "_by_session", "processes")

    def __init__(self, processes: dict[int, ProcessInfo]) -> None:
        self.processes = processes
        self._by_parent: dict[int, list[int]] = {}
        self._by_group: dict[int, list[int]] = {}
        self._by_session: dict[int, list[int]] = {}
        for pid, process in processes.items():
            self._by_parent.setdefault(process.ppid, []).append(pid)
            self._by_group.setdefault(process.pgrp, []).append(pid)
            self._by_session.setdefault(process.session, []).append(pid)

    def led_by(self, pid: int) -> set[int]:
        """The process, its group and its session, as far as they are there."""
        return {*self._by_group.get(pid, ()), *self._by_session.get(pid, ()), pid} & self.processes.keys()

    def families(self, roots: "Iterable[int]") -> set[int]:
        """These and all their descendants."""
        found = list(roots)
        seen = set(found)
        for parent in found:
            new = [child for child in self._by_parent.get(parent, ()) if child not in seen]
            found += new
            seen.update(new)
        return seen


def is_ours() -> bool:
    """Whether /proc speaks of our PID namespace; another one's numbers would hit the wrong processes."""
    try:
        return os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        return False


def read(pid: int) -> ProcessInfo | None:
    """One process, or None if there is none."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            line = os.read(descriptor, 4096)
        finally:
            close(descriptor)
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # the last: hidepid=2
        return None
    return parse_stat(line)


def parse_stat(line: bytes) -> ProcessInfo:
    """Parse a /proc/PID/stat line."""
    text = line.decode("latin-1")  # as many characters as bytes, whatever they are
    fields = procfs.fields(text)
    return ProcessInfo(
        pid=int(text.partition(" ")[0]),
        state=fields[procfs.STATE],
        ppid=int(fields[procfs.PPID]),
        pgrp=int(fields[procfs.PGRP]),
        session=int(fields[procfs.SESSION]),
        start_ticks=int(fields[procfs.START_TICKS]),
    )


def snapshot() -> dict[int, ProcessInfo]:
    """All processes that can be seen, by pid."""
    found = (read(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return {process.pid: process for process in found if process is not None}


def children(pid: int) -> list[int]:
    """Direct children of all threads of a process, zombies included; empty if it is gone.

    The kernel may skip some while others of them end: repeat where completeness matters.
    """
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    found: list[int] = []
    for task in tasks:
        try:
            found += map(int, procfs.read_bytes(f"/proc/{pid}/task/{task}/children").split())
        except FileNotFoundError:
            if not os.path.exists("/proc/thread-self/children"):
                return [process.pid for process in snapshot().values() if process.ppid == pid]
        except ProcessLookupError:
            continue
    return found


def descendants(root: int, processes: dict[int, ProcessInfo] | None = None) -> list[int]:
    """All descendants of a process, parents before children; from a `snapshot()` if one is given."""
    by_parent: dict[int, list[int]] = {}
    for process in (processes or {}).values():
        by_parent.setdefault(process.ppid, []).append(process.pid)
    found = [root]
    seen = {root}  # a pid may be reused while we walk: never twice
    for parent in found:
        new = by_parent.get(parent, []) if processes is not None else children(parent)
        found += [child for child in new if child not in seen]
        seen.update(new)
    return found[1:]


def members(
    processes: dict[int, ProcessInfo] | None = None, *, pgrp: int | None = None, session: int | None = None
) -> list[int]:
    """The pids of a process group, of a session, or of a group within a session; zombies included."""
    known = snapshot() if processes is None else processes
    return [
        process.pid
        for process in known.values()
        if (pgrp is None or process.pgrp == pgrp) and (session is None or process.session == session)
    ]
