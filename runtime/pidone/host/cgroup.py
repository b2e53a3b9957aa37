"""The container as the kernel accounts for it: memory, CPU throttling, pids and pressure in one place.

Where the groups are is found out once, at start; each reading then costs a handful of small files.
"""

from typing import TYPE_CHECKING, Self

from pidone.host.files import AnyPath, Notes, number, read, read_number, read_table
from pidone.host.hierarchy import ControlGroup, find_hierarchies
from pidone.host.memory import Memory, read_memory, read_oom_kills
from pidone.record import Record

if TYPE_CHECKING:
    from pidone.host.pressure import Pressure


class CpuTime(Record, kw_only=True):
    """CPU use of the whole container since its group was made."""

    usage_s: float | None = None
    periods: int = 0
    """Quota periods in which something ran."""
    throttled_periods: int = 0
    """Those in which the quota was used up."""
    throttled_s: float = 0.0
    """How long runnable threads were held back, summed over CPUs."""


class Pids(Record, kw_only=True):
    """Threads and processes of the container; None is "not known" or "no limit"."""

    current: int | None = None
    limit: int | None = None
    refused: int = 0
    """Forks that failed because of the limit."""


class Box:
    """This container's groups, by controller; None where a controller is not mounted."""

    def __init__(
        self,
        *,
        memory: ControlGroup | None = None,
        cpu: ControlGroup | None = None,
        cpuacct: ControlGroup | None = None,
        pids: ControlGroup | None = None,
        root: AnyPath = "/",
        notes: Notes | None = None,
    ) -> None:
        """`notes` has what went wrong while the groups were looked for; each reading adds to it."""
        self.memory_group = memory
        self.cpu_group = cpu
        self.cpuacct_group = cpuacct
        self.pids_group = pids
        self.root = root
        self._notes: Notes = [] if notes is None else notes

    @classmethod
    def find(cls, root: AnyPath = "/") -> Self:
        """Locate the groups of this process; `root` is the root of a recorded tree in tests. Never raises."""
        notes: Notes = []
        hierarchies = find_hierarchies(root, notes)
        return cls(
            memory=hierarchies.of("memory"),
            cpu=hierarchies.of("cpu"),
            cpuacct=hierarchies.of("cpuacct"),
            pids=hierarchies.of("pids"),
            root=root,
            notes=notes,
        )

    def memory(self) -> Memory:
        """Limit, usage and swap now."""
        return read_memory(self.memory_group, self.root, self._notes)

    def oom_kills(self) -> int | None:
        """Processes that the OOM killer has ended so far; None where nobody counts."""
        return read_oom_kills(self.memory_group, self._notes)

    def cpu_time(self) -> CpuTime:
        """CPU use and throttling so far."""
        if self.cpu_group is None:
            return CpuTime()
        table = read_table(f"{self.cpu_group.own}/cpu.stat", self._notes)
        if self.cpu_group.version == 2:
            usage, throttled_s = table.get("usage_usec"), table.get("throttled_usec", 0) / 1e6
            usage_s = None if usage is None else usage / 1e6
        else:
            usage_s, throttled_s = self._cpuacct(), table.get("throttled_time", 0) / 1e9
        return CpuTime(
            usage_s=usage_s,
            periods=table.get("nr_periods", 0),
            throttled_periods=table.get("nr_throttled", 0),
            throttled_s=throttled_s,
        )

    def pids(self) -> Pids:
        """Number and limit of threads and processes; real root groups have no such files."""
        group = self.pids_group
        if group is None:
            return Pids()
        limits = []
        for folder in group.path:
            text = read(f"{folder}/pids.max", self._notes)
            value = None if text == "max" else number(text, f"{folder}/pids.max", self._notes)
            limits += [] if value is None else [value]
        return Pids(
            current=read_number(f"{group.own}/pids.current", self._notes),
            limit=min(limits, default=None),
            refused=read_table(f"{group.own}/pids.events", self._notes).get("max", 0),
        )

    def pressure(self) -> dict[str, "Pressure"]:
        """Pressure by resource (`cpu`, `memory`, `io`); only what the kernel reports."""
        from pidone.host.pressure import read_pressure  # noqa: PLC0415 (limits do without it)

        readings = {
            "cpu": read_pressure("cpu", self.cpu_group, self.root, self._notes),
            "memory": read_pressure("memory", self.memory_group, self.root, self._notes),
            "io": read_pressure("io", self.memory_group, self.root, self._notes),
        }
        return {resource: pressure for resource, pressure in readings.items() if pressure}

    def take_notes(self) -> tuple[str, ...]:
        """What was noted since the last call, each reason once."""
        notes = tuple(self._notes)
        self._notes.clear()
        return notes

    def _cpuacct(self) -> float | None:
        if self.cpuacct_group is None:
            return None
        nanoseconds = read_number(f"{self.cpuacct_group.own}/cpuacct.usage", self._notes)
        return None if nanoseconds is None else nanoseconds / 1e9
