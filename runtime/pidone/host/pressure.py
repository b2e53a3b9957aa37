"""Pressure stall information: how long processes waited for CPU, memory and disks.

Format: Documentation/accounting/psi.rst in the kernel. Absent before Linux 4.20 or with `psi=0`.
"""

import os
from enum import StrEnum

from pidone.host.files import AnyPath, Notes, read
from pidone.host.hierarchy import ControlGroup
from pidone.record import Record


class PressureScope(StrEnum):
    """Whose waiting was measured."""

    CONTAINER = "container"
    HOST = "host"


class Stall(Record):
    """Share of time, in percent over the last 10 seconds, and the sum in seconds."""

    avg10: float
    total_s: float


class Pressure(Record):
    """Waiting for one resource."""

    scope: PressureScope
    some: Stall | None
    """At least one process waited."""
    full: Stall | None
    """All of them did; nothing got done."""


def read_pressure(
    resource: str, group: ControlGroup | None, root: AnyPath = "/", notes: Notes | None = None
) -> Pressure | None:
    """Pressure on `cpu`, `memory` or `io`: the container's with cgroup v2, else the machine's, else None."""
    sources = [(PressureScope.HOST, os.path.join(root, "proc/pressure", resource))]
    if group is not None and group.version == 2:
        sources.insert(0, (PressureScope.CONTAINER, f"{group.own}/{resource}.pressure"))
    for scope, path in sources:
        stalls = {}
        for line in (read(path, notes) or "").splitlines():
            kind, _, values = line.partition(" ")
            if stall := _stall(values):
                stalls[kind] = stall
        if stalls:
            return Pressure(scope, stalls.get("some"), stalls.get("full"))
    return None


def _stall(text: str) -> Stall | None:
    """`avg10=0.00 avg60=0.07 avg300=2.95 total=35168232`, the total in µs."""
    fields = dict(part.split("=", 1) for part in text.split() if "=" in part)
    try:
        return Stall(avg10=float(fields["avg10"]), total_s=int(fields["total"]) / 1e6)
    except (KeyError, ValueError):
        return None
