"""Who is whose child, read from /proc without psutil. Everything tolerates processes that vanish.

Protocol: proc_pid_stat(5), and proc_tid_children(5) where the kernel has CONFIG_PROC_CHILDREN.
"""

import os

from pidone.csignal import signal


class Process:
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
        """Signal this very process; False if it is gone or not ours to signal, even if its pid lives on.

        A pidfd is taken first and the start time compared after, so a reused pid is never hit.
        """
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        except OSError:  # no pidfd: Linux before 5.3, or a sandbox without it
            return self._is_current() and _kill(self.pid, signum)
        try:
            return self._is_current() and _pidfd_kill(descriptor, signum)
        finally:
            os.close(descriptor)

    def _is_current(self) -> bool:
        now = read(self.pid)
        return now is not None and now.start_ticks == self.start_ticks


def read(pid: int) -> Process | None:
    """One process, or None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            return parse_stat(file.read(4096))
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # the last: hidepid=2
        return None


def parse_stat(line: bytes) -> Process:
    """Parse a /proc/PID/stat line. The name is cut at the last parenthesis: it may hold any byte."""
    head, _, tail = line.rpartition(b")")
    fields = tail.split()  # from field 3, the state
    return Process(
        pid=int(head.split(b" ", 1)[0]),
        state=fields[0].decode("ascii"),
        ppid=int(fields[1]),
        pgrp=int(fields[2]),
        session=int(fields[3]),
        start_ticks=int(fields[19]),  # field 22
    )


def snapshot() -> dict[int, Process]:
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
            with open(f"/proc/{pid}/task/{task}/children", "rb", buffering=0) as file:
                found += map(int, file.readall().split())
        except FileNotFoundError:
            if not os.path.exists("/proc/thread-self/children"):
                return [process.pid for process in snapshot().values() if process.ppid == pid]
        except ProcessLookupError:
            continue
    return found


def descendants(root: int, processes: dict[int, Process] | None = None) -> list[int]:
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
    processes: dict[int, Process] | None = None, *, pgrp: int | None = None, session: int | None = None
) -> list[int]:
    """The pids of a process group, of a session, or of a group within a session; zombies included."""
    known = snapshot() if processes is None else processes
    return [
        process.pid
        for process in known.values()
        if (pgrp is None or process.pgrp == pgrp) and (session is None or process.session == session)
    ]


def _kill(pid: int, signum: int) -> bool:
    try:
        os.kill(pid, signum)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _pidfd_kill(descriptor: int, signum: int) -> bool:
    try:
        signal.pidfd_send_signal(descriptor, signum)
    except (ProcessLookupError, PermissionError):
        return False
    return True
