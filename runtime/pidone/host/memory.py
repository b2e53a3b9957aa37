"""How much memory this container may use, uses, and has been killed for: cgroup v1 and v2.

Files: Documentation/admin-guide/cgroup-v2.rst ("Memory") and cgroup-v1/memory.rst in the kernel.
"""

from collections.abc import Iterator

from pidone.host.files import AnyPath, Notes, number, read, read_number, read_table
from pidone.host.hierarchy import ControlGroup
from pidone.record import Record

_UNLIMITED_V1 = 1 << 62
"""Version 1 writes "no limit" as the largest multiple of the page size below 2**63."""


class Memory(Record, kw_only=True):
    """Memory of the container at one moment, in bytes; None is "not known" or "no limit"."""

    limit: int | None = None
    """The smallest limit from the process's own group up to the visible root."""
    usage: int | None = None
    """All that is charged to the group which has the limit, page cache included."""
    inactive_file: int = 0
    """Page cache the kernel drops first."""
    swap: int | None = None
    host_total: int | None = None
    """RAM of the machine."""

    @property
    def working_set(self) -> int | None:
        """What cannot be dropped at once: Kubernetes' measure, usage minus inactive page cache."""
        return None if self.usage is None else max(0, self.usage - self.inactive_file)

    @property
    def ceiling(self) -> int | None:
        """What `"80%"` is a share of: the limit, or the machine's RAM if that is smaller or all there is."""
        limit, total = self.limit, self.host_total
        if limit is None or total is None:
            return total if limit is None else limit
        return min(limit, total)


def read_memory(group: ControlGroup | None, root: AnyPath = "/", notes: Notes | None = None) -> Memory:
    """Measure; what cannot be read is left out."""
    host_total = _host_total(root)
    if group is None:
        return Memory(host_total=host_total)
    return (_memory_v2 if group.version == 2 else _memory_v1)(group, host_total, notes)


def read_oom_kills(group: ControlGroup | None, notes: Notes | None = None) -> int | None:
    """How many processes the OOM killer has ended in the group since it was made; it never goes back.

    None where nobody counts (no memory group, before Linux 4.13).
    """
    if group is None:
        return None
    if group.version == 1:
        return read_table(f"{group.own}/memory.oom_control", notes).get("oom_kill")
    # The outermost visible group counts for all below it, such as a group that an app made for itself. A
    # machine's real root has no such file.
    table = read_table(f"{group.top}/memory.events", notes) or read_table(f"{group.own}/memory.events", notes)
    return table.get("oom_kill")


def _memory_v2(group: ControlGroup, host_total: int | None, notes: Notes | None) -> Memory:
    folder, limit = _tightest(group, _limits(group, "memory.max", notes))
    return Memory(
        limit=limit,
        usage=read_number(f"{folder}/memory.current", notes),
        inactive_file=read_table(f"{folder}/memory.stat", notes).get("inactive_file", 0),
        swap=read_number(f"{folder}/memory.swap.current", notes),
        host_total=host_total,
    )


def _memory_v1(group: ControlGroup, host_total: int | None, notes: Notes | None) -> Memory:
    folder, limit = _tightest(group, _limits(group, "memory.limit_in_bytes", notes))
    table = read_table(f"{folder}/memory.stat", notes)
    # The kernel knows of ancestors that are hidden from this container.
    hidden = table.get("hierarchical_memory_limit", _UNLIMITED_V1)
    limits = [value for value in (limit, hidden) if value is not None and value < _UNLIMITED_V1]
    return Memory(
        limit=min(limits, default=None),
        usage=read_number(f"{folder}/memory.usage_in_bytes", notes),
        inactive_file=table.get("total_inactive_file", 0),
        swap=table.get("total_swap"),
        host_total=host_total,
    )


def _limits(group: ControlGroup, name: str, notes: Notes | None) -> Iterator[tuple[str, int | None]]:
    """The limit of each group on the way up; None where there is none."""
    for folder in group.path:
        text = read(f"{folder}/{name}", notes)
        value = None if text is None or text == "max" else number(text, f"{folder}/{name}", notes)
        yield folder, value if value is not None and 0 <= value < _UNLIMITED_V1 else None


def _tightest(group: ControlGroup, limits: Iterator[tuple[str, int | None]]) -> tuple[str, int | None]:
    """The group with the smallest limit: what it uses, others' share included, decides about an OOM kill."""
    folder, limit = group.own, None
    for each, value in limits:
        if value is not None and (limit is None or value < limit):
            folder, limit = each, value
    return folder, limit


def _host_total(root: AnyPath) -> int | None:
    """`MemTotal` of /proc/meminfo, its first line, in KiB."""
    fields = (read(f"{root}/proc/meminfo") or "").partition("\n")[0].split()
    if len(fields) < 2 or fields[0] != "MemTotal:" or not fields[1].isdigit():
        return None
    return int(fields[1]) * 1024
