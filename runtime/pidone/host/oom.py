"""Tells an OOM kill from any other SIGKILL by the kernel's counters.

The kernel counts a kill *before* it sends the signal (mm/oom_kill.c, __oom_kill_process), so the counter read
after the exit was seen has always moved. What it does not say is who was killed: kills are credited to the
deaths by SIGKILL that nobody asked for, in the order in which they are seen.
"""

from collections.abc import Callable
from enum import StrEnum

from pidone.host.cgroup import Box
from pidone.host.files import read_table
from pidone.record import Record


class OomCounters(Record):
    """Processes ended by the OOM killer so far."""

    container: int | None = None
    """In this container's memory group; None if that cannot be read."""
    host: int = 0
    """On the whole machine (`oom_kill` of /proc/vmstat, since Linux 4.13)."""


class OomVerdict(StrEnum):
    """What the counters say about one death."""

    NO = "no"
    LIKELY = "likely"
    """No memory group to ask; somebody on the machine was OOM-killed in the meantime."""
    YES = "yes"


def read_oom_counters(box: Box) -> OomCounters:
    """Read both counters; 0 where there is none."""
    return OomCounters(
        container=box.oom_kills(),
        host=read_table(f"{box.root}/proc/vmstat").get("oom_kill", 0),
    )


def judge(before: OomCounters, after: OomCounters) -> OomVerdict:
    """Whether a death by SIGKILL that nobody asked for was an OOM kill.

    Args:
        before: Read at any time while the process lived.
        after: Read when its exit was seen.
    """
    if after.container is not None:  # 0 before: the group's file may have been unreadable for a moment
        return OomVerdict.YES if after.container > (before.container or 0) else OomVerdict.NO
    return OomVerdict.LIKELY if after.host > before.host else OomVerdict.NO


class OomLedger:
    """Credits every counted kill to at most one death."""

    def __init__(self, read: Callable[[], OomCounters], *, host_before: int | None = None) -> None:
        """`read` is called now for the starting point, and at each question.

        `host_before` is the machine's count at an earlier starting point. The container's count then is not
        known, but it cannot have grown by more than the machine's.
        """
        self._read = read
        self._settled = now = read()
        if host_before is not None:
            since = max(0, now.host - host_before)
            container = None if now.container is None else max(0, now.container - since)
            self._settled = OomCounters(container, host_before)

    def judge_exit(self) -> OomVerdict:
        """The verdict on such a death that was seen just now."""
        settled = self._settled
        verdict = judge(settled, self._read())
        if verdict is not OomVerdict.NO:
            container = None if settled.container is None else settled.container + 1
            self._settled = OomCounters(container, settled.host + 1)
        return verdict

    def outstanding(self) -> int:
        """Kills in this container that no judged exit explains, so far.

        They hit a descendant of an app (a helper process whose main process lives on), a stranger, or a main
        process that is still about to end.
        """
        now, settled = self._read(), self._settled
        if now.container is None or settled.container is None:
            return 0
        return max(0, now.container - settled.container)

    def settle(self, kills: int) -> None:
        """These are explained, though not by an exit that was judged."""
        container = self._settled.container
        self._settled = OomCounters(
            None if container is None else container + kills, self._settled.host + kills
        )
