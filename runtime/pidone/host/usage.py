"""What the instances use: one pass over /proc for everybody, people and memory limits alike."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from pidone.ecosystem.spec import Bytes, Seconds
from pidone.host.processes import TreeSampler, TreeUsage, cpu_share, read_pss
from pidone.record import EMPTY, Record

FRESH: Final[Seconds] = 0.9
"""A sample younger than this is good enough for people."""
_FORGET_PSS: Final[Seconds] = 10.0


class Usage(Record):
    """One instance's tree at the last sample."""

    tree: TreeUsage
    cpus: float
    """CPUs in use since the sample before, or since the start of the process if there is none."""


class Sampler(Protocol):
    """Measures process trees: `host.processes.TreeSampler`."""

    def sample(self, roots: Iterable[int]) -> Mapping[int, TreeUsage]: ...


class UsageBook:
    """The last sample of everybody."""

    def __init__(
        self,
        pids: Callable[[], Iterable[int]],
        *,
        now: Callable[[], Seconds],
        call_soon: Callable[[Callable[[], None]], object],
        sampler: Sampler | None = None,
    ) -> None:
        """`pids` lists the main processes; `call_soon` runs something in a later turn of the loop."""
        self._pids = pids
        self._now = now
        self._call_soon = call_soon
        self._sampler: Sampler = sampler or TreeSampler()
        self._usage: Mapping[int, Usage] = EMPTY
        self._taken: Seconds | None = None
        self._pss: dict[int, Bytes] = {}
        self._pss_queue: list[int] = []
        self._pss_taken: Seconds | None = None
        self.listeners: list[Callable[[Mapping[int, Usage]], None]] = []
        """Called with each new sample, whoever asked for it."""

    def usage(self, within: Seconds = FRESH) -> Mapping[int, Usage]:
        """By main pid, not older than `within`; processes that have just ended or begun may be missing."""
        if self._taken is None or self._now() - self._taken >= within:
            self._taken = self._now()
            earlier = self._usage
            self._usage = {
                pid: Usage(tree, _cpus(earlier[pid].tree if pid in earlier else None, tree))
                for pid, tree in self._sampler.sample(self._pids()).items()
            }
            for listener in self.listeners:
                listener(self._usage)
        return self._usage

    def pss(self, tree: TreeUsage) -> Bytes | None:
        """PSS of a tree as last measured; None before that has happened.

        The kernel walks page tables for it, milliseconds per process: so processes are measured one per turn
        of the loop after somebody asked, and the next one who asks gets the result.
        """
        self._renew_pss()
        parts = [self._pss.get(process.pid) for process in tree.processes]
        return None if None in parts else sum(part for part in parts if part is not None)

    def _renew_pss(self) -> None:
        if self._pss_queue or (self._pss_taken is not None and self._now() - self._pss_taken < _FORGET_PSS):
            return
        self._pss_taken = self._now()
        self._pss_queue = [process.pid for each in self._usage.values() for process in each.tree.processes]
        present = set(self._pss_queue)
        self._pss = {pid: size for pid, size in self._pss.items() if pid in present}
        self._call_soon(self._next_pss)

    def _next_pss(self) -> None:
        if not self._pss_queue:
            return
        pid = self._pss_queue.pop()
        size = read_pss(pid)
        if size is not None:
            self._pss[pid] = size
        self._call_soon(self._next_pss)


def _cpus(before: TreeUsage | None, now: TreeUsage) -> float:
    share = cpu_share(before, now)
    if share is not None:
        return share
    age = now.at - now.root.started_ticks / _TICKS_PER_S
    return now.cpu_s / max(age, _LEAST_AGE)


def _ticks_per_s() -> int:
    import os  # noqa: PLC0415 (one constant)

    return os.sysconf("SC_CLK_TCK")


_TICKS_PER_S: Final = _ticks_per_s()
_LEAST_AGE: Final[Seconds] = 1.0
"""A share of less is noise: both times are counted in hundredths, and a start would look like four CPUs."""
