"""The container's part of /metrics: memory, CPU, processes and pressure, as its cgroups have them."""

from collections.abc import Callable, Iterator

from pidone.control.answers.exposition import Family
from pidone.host.cgroup import Box


class ContainerMetrics:
    """Reads a dozen small files for each scrape."""

    def __init__(self, cpus: Callable[[], int]) -> None:
        """`cpus` tells how many the container may use."""
        self._cpus = cpus
        self._box: Box | None = None

    def families(self) -> Iterator[Family]:
        """Everything that is known; what the kernel does not tell is left out."""
        if self._box is None:
            self._box = Box.find()
        memory, cpu, pids = self._box.memory(), self._box.cpu_time(), self._box.pids()
        gauges: tuple[tuple[str, str, float | None], ...] = (
            ("memory_usage_bytes", "All memory charged to the container.", memory.usage),
            ("memory_working_set_bytes", "The same without page cache that can go.", memory.working_set),
            ("memory_limit_bytes", "Its limit; absent if there is none.", memory.limit),
            ("memory_swap_bytes", "What of it is swapped out.", memory.swap),
            ("cpus", "CPUs the container may use.", self._cpus()),
            ("pids", "Its processes and threads.", pids.current),
            ("pids_limit", "How many it may have; absent if there is no limit.", pids.limit),
        )
        for name, text, value in gauges:
            yield Family(f"pidone_container_{name}", "gauge", text).add(value)
        counters: tuple[tuple[str, str, float | None], ...] = (
            ("cpu_usage_seconds", "CPU time of the container.", cpu.usage_s),
            ("cpu_periods", "Quota periods in which something ran.", cpu.periods),
            ("cpu_throttled_periods", "Those in which the quota was used up.", cpu.throttled_periods),
            ("cpu_throttled_seconds", "How long threads were held back.", cpu.throttled_s),
            ("oom_kills", "Processes that the OOM killer ended.", self._box.oom_kills()),
            ("pids_refused", "Forks that failed because of the limit.", pids.refused),
        )
        for name, text, value in counters:
            yield Family(f"pidone_container_{name}", "counter", text).add(value)
        yield self._pressure(self._box)
        self._box.take_notes()

    def _pressure(self, box: Box) -> Family:
        """PSI: of the container with version 2, else of the machine, which `scope` tells."""
        family = Family(
            "pidone_container_pressure_seconds",
            "counter",
            "How long processes waited for a resource: some of them, or all at once (full).",
        )
        for resource, pressure in box.pressure().items():
            labels = {"resource": resource, "scope": str(pressure.scope)}
            for kind, stall in (("some", pressure.some), ("full", pressure.full)):
                if stall is not None:
                    family.add(stall.total_s, {**labels, "kind": kind})
        return family
