"""How many CPUs this container may use: affinity, cpuset and CPU quota, whichever is the smallest."""

import os
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from pidone.host.files import AnyPath, Notes, note, number, read, read_number
from pidone.host.hierarchy import ControlGroup, Hierarchies, find_hierarchies
from pidone.record import Record

_WRITTEN: Final[Mapping[str, Mapping[int, tuple[str, ...]]]] = {
    "cpu": {1: ("cpu.cfs_quota_us", "cpu.cfs_period_us"), 2: ("cpu.max",)},
    "cpuset": {1: ("cpuset.cpus",), 2: ("cpuset.cpus",)},
}
"""By controller and version of the hierarchy."""


class CpuLimits(Record):
    """Everything that limits the CPUs of this process."""

    allowed: frozenset[int]
    """The CPUs it may run on: scheduler affinity and cpuset."""
    quota: float | None
    """CPUs' worth of time per period, the smallest on the path to the visible root; None is unlimited."""
    notes: tuple[str, ...] = ()
    """What could not be read and was ignored, one line each."""

    @property
    def available(self) -> int:
        """Whole CPUs, at least one. A quota is rounded up: 1.5 CPUs are used best by two workers."""
        allowed = max(1, len(self.allowed))
        return allowed if self.quota is None else max(1, min(allowed, _round_up(self.quota)))


def available_cpus() -> int:
    """The CPUs this container may use: min(affinity, cpuset, quota rounded up), at least 1."""
    return cpu_limits().available


def cpu_limits(root: AnyPath = "/", affinity: AbstractSet[int] | None = None) -> CpuLimits:
    """Read every limit. Never raises: what is missing does not limit, what is nonsense is noted and ignored.

    Args:
        root: Where /proc and /sys/fs/cgroup are; another directory for recorded trees.
        affinity: The CPUs the scheduler allows; asked from the kernel if None.
    """
    notes: Notes = []
    return _limits(find_hierarchies(root, notes), root, affinity, notes)


class CpuFiles:
    """Where the limits stand, found once: a look then costs a handful of small files."""

    def __init__(self, root: AnyPath = "/") -> None:
        """`root` is the root of a recorded tree in tests. Never raises."""
        self._root = root
        self._hierarchies = find_hierarchies(root)

    def available(self) -> int:
        """As `available_cpus`, now."""
        return _limits(self._hierarchies, self._root, None, []).available

    def written(self) -> list[str]:
        """The files that are written by whoever changes a limit, from the own group to the visible root."""
        paths = []
        for controller, names in _WRITTEN.items():
            group = self._hierarchies.of(controller)
            if group is not None:
                paths += [f"{folder}/{name}" for folder in group.path for name in names[group.version]]
        return [path for path in paths if os.path.exists(path)]


def _limits(
    hierarchies: Hierarchies, root: AnyPath, affinity: AbstractSet[int] | None, notes: Notes
) -> CpuLimits:
    allowed = affinity_of_ours(root, notes) if affinity is None else frozenset(affinity)
    # The kernel applies the cpuset to the affinity itself. Reading it matters where it does not show there
    # (gVisor, some container runtimes with their own /sys); one that contradicts the affinity is ignored.
    cpuset = _cpuset(hierarchies, notes)
    return CpuLimits(
        allowed=allowed if cpuset is None else (allowed & cpuset or allowed),
        quota=_quota(hierarchies, notes),
        notes=tuple(notes),
    )


def affinity_of_ours(root: AnyPath = "/", notes: Notes | None = None) -> frozenset[int]:
    """The CPUs that the scheduler allows us; where a sandbox refuses the question, as /proc has them."""
    try:
        return frozenset(os.sched_getaffinity(0))
    except (OSError, OverflowError) as error:  # the latter: a sandbox that answers EINVAL whatever the size
        note(notes, f"sched_getaffinity: {getattr(error, 'strerror', error)}")
    for line in (read(f"{root}/proc/self/status") or "").splitlines():
        name, _, value = line.partition(":")
        if name == "Cpus_allowed_list" and (found := parse_cpu_list(value.strip())):
            return found
    return frozenset(range(os.cpu_count() or 1))


def _quota(hierarchies: Hierarchies, notes: Notes) -> float | None:
    """The smallest quota from the own group up to the visible root: every one of them applies."""
    group = hierarchies.of("cpu")
    if group is None:
        return None
    read_one = _quota_v2 if group.version == 2 else _quota_v1
    return min(
        (quota for folder in group.path if (quota := read_one(folder, notes)) is not None), default=None
    )


def _quota_v2(folder: str, notes: Notes) -> float | None:
    """`cpu.max` is `QUOTA PERIOD` in µs, with `max` for no quota; a real root group has no such file."""
    text = read(f"{folder}/cpu.max", notes)
    if text is None:
        return None
    quota, _, period = text.partition(" ")
    if quota == "max":
        return None
    where = f"{folder}/cpu.max"
    return _share(number(quota, where, notes), number(period or "100000", where, notes), where, notes)


def _quota_v1(folder: str, notes: Notes) -> float | None:
    """`cpu.cfs_quota_us` is -1 for no quota."""
    where = f"{folder}/cpu.cfs_quota_us"
    quota = read_number(where, notes)
    if quota is None or quota == -1:
        return None
    return _share(quota, read_number(f"{folder}/cpu.cfs_period_us", notes), where, notes)


def _share(quota: int | None, period: int | None, where: str, notes: Notes) -> float | None:
    if quota is None or period is None:
        return None
    if quota <= 0 or period <= 0:
        note(notes, f"{where}: no sensible quota: {quota} of {period} µs")
        return None
    return quota / period


def _cpuset(hierarchies: Hierarchies, notes: Notes) -> frozenset[int] | None:
    """The CPUs of the nearest group that names any; None if no cpuset limits this process."""
    group = hierarchies.of("cpuset")
    if group is None:
        return None
    for folder in group.path:
        if cpus := _cpu_list(group, folder, notes):
            return cpus
    return None


def _cpu_list(group: ControlGroup, folder: str, notes: Notes) -> frozenset[int] | None:
    # "effective" leaves out offline CPUs and what the ancestors forbid; old kernels have only the plain one.
    names = ("cpuset.cpus.effective",) if group.version == 2 else ("cpuset.effective_cpus", "cpuset.cpus")
    for name in names:
        text = read(f"{folder}/{name}", notes)
        if text:
            return parse_cpu_list(text, f"{folder}/{name}", notes)
    return None


def parse_cpu_list(text: str, where: str = "", notes: Notes | None = None) -> frozenset[int] | None:
    """The kernel's list format (`0-3,8,10-11`) as a set; None, noted, if it is anything else."""
    cpus: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        start, end = number(first), number(last if dash else first)
        # The bound keeps a nonsense range from filling memory; Linux ends at 8192 CPUs (NR_CPUS).
        if start is None or end is None or not 0 <= start <= end < 65536:
            note(notes, f"{where}: not a list of CPUs: {text[:40]!r}")
            return None
        cpus.update(range(start, end + 1))
    return frozenset(cpus)


def _round_up(quota: float) -> int:
    return -int(-quota // 1)
