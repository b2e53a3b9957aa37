"""What each app's processes use: one pass over /proc for all of them.

Own reading instead of psutil: for 100 processes it needs about a fifth of the CPU time (bench_host), and
the supervisor is spared psutil's 3 MB.
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from pidone import procfs
from pidone.host.files import AnyPath, read

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class ProcessUsage(NamedTuple):
    """One process at one moment."""

    pid: int
    ppid: int
    pgrp: int
    session: int
    started_ticks: int
    """Start time since boot; with the pid, the identity of a process."""
    rss: int
    """Bytes of RAM it maps, shared pages counted in full."""
    cpu_s: float
    """User and system time, of children it has waited for too."""
    threads: int


class TreeUsage(NamedTuple):
    """A process and all its descendants at one moment."""

    root: ProcessUsage
    descendants: tuple[ProcessUsage, ...]
    at: float
    """When the sample was taken (monotonic seconds)."""

    @property
    def processes(self) -> tuple[ProcessUsage, ...]:
        """Everything in the tree, the root first."""
        return (self.root, *self.descendants)

    @property
    def rss(self) -> int:
        """Sum over the tree in bytes; pages shared between its processes count once for each of them."""
        return sum(process.rss for process in self.processes)

    @property
    def cpu_s(self) -> float:
        """CPU seconds used so far; what a vanished child had used is in its parent's count."""
        return sum(process.cpu_s for process in self.processes)

    @property
    def threads(self) -> int:
        """Threads in the whole tree."""
        return sum(process.threads for process in self.processes)


def cpu_share(before: TreeUsage | None, now: TreeUsage) -> float | None:
    """CPUs used between two samples (1.0 is one core); None without an earlier sample of the same process."""
    if before is None or before.root.started_ticks != now.root.started_ticks or now.at <= before.at:
        return None
    return max(0.0, now.cpu_s - before.cpu_s) / (now.at - before.at)


class TreeSampler:
    """Samples the trees of all instances together, and remembers who belonged where.

    A process keeps its tree when its parent dies and init adopts it, as happens to a daemon that forks twice:
    it is known from an earlier sample, or by the process group or session that its instance leads.
    """

    def __init__(self, *, proc: AnyPath = "/proc", clock: Callable[[], float] = time.monotonic) -> None:
        self._proc = proc
        self._clock = clock
        self._owners: dict[tuple[int, int], int] = {}

    def sample(self, roots: Iterable[int]) -> Mapping[int, TreeUsage]:
        """The tree of each root process by its pid; a root that has vanished is left out."""
        wanted = set(roots)
        at = self._clock()
        processes = read_all(self._proc)
        by_owner: dict[int, list[ProcessUsage]] = {pid: [] for pid in wanted if pid in processes}
        owners: dict[int, int | None] = {pid: pid for pid in by_owner}
        for process in processes.values():
            owner = self._owner(process, processes, owners)
            if owner is not None and owner != process.pid:
                by_owner[owner].append(process)
        self._owners = {
            (pid, processes[pid].started_ticks): owner for pid, owner in owners.items() if owner is not None
        }
        return {
            pid: TreeUsage(processes[pid], tuple(descendants), at) for pid, descendants in by_owner.items()
        }

    def _owner(
        self,
        process: ProcessUsage,
        processes: Mapping[int, ProcessUsage],
        owners: dict[int, int | None],
    ) -> int | None:
        """The root above `process`, found by walking up; every process walked over learns it too."""
        walked = []
        current: ProcessUsage | None = process
        while current is not None and current.pid not in owners:
            owners[current.pid] = (
                None  # also ends a walk in a circle, which pid reuse during the pass can make
            )
            walked.append(current)
            current = processes.get(current.ppid)
        owner = owners[current.pid] if current is not None else None
        for each in reversed(walked):
            if owner is None:
                owner = self._remembered(each, owners)
            owners[each.pid] = owner
        return owner

    def _remembered(self, process: ProcessUsage, owners: Mapping[int, int | None]) -> int | None:
        earlier = self._owners.get((process.pid, process.started_ticks))
        for root in (earlier, process.pgrp, process.session):
            if root is not None and owners.get(root) == root:
                return root
        return None


def read_all(proc: AnyPath) -> dict[int, ProcessUsage]:
    """Every process that can be read; those that vanish meanwhile, or are nonsense, are left out."""
    found: dict[int, ProcessUsage] = {}
    prefix = f"{proc}/"
    try:
        names = os.listdir(prefix)
    except OSError:
        return found
    for name in names:
        if name.isdigit() and (process := _read_process(prefix, name)):
            found[process.pid] = process
    return found


def read_process(pid: int) -> ProcessUsage | None:
    """One process, or None if it is gone."""
    return _read_process("/proc/", str(pid))


def _read_process(prefix: str, name: str) -> ProcessUsage | None:
    fields = procfs.fields(read(f"{prefix}{name}/stat") or "")
    try:
        return ProcessUsage(
            pid=int(name),
            ppid=int(fields[procfs.PPID]),
            pgrp=int(fields[procfs.PGRP]),
            session=int(fields[procfs.SESSION]),
            started_ticks=int(fields[procfs.START_TICKS]),
            rss=int(fields[procfs.RSS_PAGES]) * _PAGE,
            cpu_s=sum(map(int, fields[procfs.CPU_TIMES])) / _TICKS_PER_S,
            threads=int(fields[procfs.THREADS]),
        )
    except (IndexError, ValueError):
        return None


def read_pss(pid: int) -> int | None:
    """Proportional set size in bytes: shared pages divided among their users (smaps_rollup, Linux 4.14).

    None if the process is gone or not ours to look into. The kernel walks the page tables for this.
    """
    for line in (read(f"/proc/{pid}/smaps_rollup") or "").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return None


def tree_pss(tree: TreeUsage) -> int:
    """PSS of a whole tree; a process that does not tell counts with its RSS."""
    return sum(process.rss if (pss := read_pss(process.pid)) is None else pss for process in tree.processes)


def tree_memory(tree: TreeUsage, threshold: int | None) -> int:
    """Bytes a tree really uses, as cheaply as the question "is it over `threshold`?" allows.

    The sum of RSS is never too low, so PSS is asked for only when that sum is over the threshold and there is
    more than one process to share pages: forked workers would else be charged their parent's pages again.
    """
    if threshold is None or tree.rss <= threshold or not tree.descendants:
        return tree.rss
    return tree_pss(tree)


def count_fds(tree: TreeUsage) -> int:
    """Open file descriptors of a tree, without those of processes that are gone or hidden."""
    total = 0
    for process in tree.processes:
        try:
            total += len(os.listdir(f"/proc/{process.pid}/fd"))
        except OSError:
            continue
    return total
