"""`/api/container`: what the container may use, uses and waits for, for people who look at it now."""

from collections.abc import Callable
from typing import Any

from pidone.control.http.messages import Answer, Request, as_json
from pidone.host.cgroup import Box


class ContainerView:
    """Reads a dozen small files for each answer; counters are since the container's group was made."""

    def __init__(self, cpus: Callable[[], int]) -> None:
        """`cpus` tells how many the container may use."""
        self._cpus = cpus
        self._box: Box | None = None

    def show(self, request: Request) -> Answer:
        """Everything that the kernel tells; null is "not known" or "no limit"."""
        del request
        if self._box is None:
            self._box = Box.find()
        memory, cpu, pids = self._box.memory(), self._box.cpu_time(), self._box.pids()
        pressure = {resource: _stalls(each) for resource, each in self._box.pressure().items()}
        shown = {
            "cpus": self._cpus(),
            "cpu": cpu.as_dict(),
            "memory": {
                "usage_bytes": memory.usage,
                "working_set_bytes": memory.working_set,
                "limit_bytes": memory.limit,
                "swap_bytes": memory.swap,
            },
            "pids": pids.as_dict(),
            "oom_kills": self._box.oom_kills(),
            "pressure": pressure,
        }
        self._box.take_notes()
        return as_json(shown)


def _stalls(pressure: Any) -> dict[str, Any]:
    """Percent of the last ten seconds; `scope` tells whose."""
    stalls = {"some": pressure.some, "full": pressure.full}
    return {"scope": str(pressure.scope)} | {
        name: None if stall is None else stall.avg10 for name, stall in stalls.items()
    }
